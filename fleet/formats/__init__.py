"""How times are written on pages: as in the API, and without a doubt about the hour or the month."""
