"""An organisation's people: accounts as admins manage them, profiles, groups."""
