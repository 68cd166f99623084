"""How often somebody may ask or try: requests, passwords, codes, mails. Counted in Redis, for all processes."""
