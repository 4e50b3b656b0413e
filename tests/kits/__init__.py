"""What tests begin with: applications and people, worlds with rows in them, clients, forgers, waiting."""
