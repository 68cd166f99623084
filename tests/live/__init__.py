"""Live views: the sender, and sockets of a real daphne."""
