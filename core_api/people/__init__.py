"""An organisation's people: accounts as admins manage them or import them, profiles, groups."""
