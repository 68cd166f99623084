"""From received messages to committed rows: one transaction a batch."""
