"""The load that a benchmark sends: requests encoded beforehand, sent when due, every reply counted."""
