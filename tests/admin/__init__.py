"""The admin: its pages, its rights, and what its forms do."""
