"""What goes over stored files again and again: old evidence to its cold tier, orphans away."""
