"""Who may come in at the broker and what they may do there, for brokers that ask instead of being told."""
