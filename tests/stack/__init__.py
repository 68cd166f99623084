"""The local stack: its files, its servers, its supervisor."""
