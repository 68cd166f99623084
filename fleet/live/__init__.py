"""The receiving side of live views: one hub a process, one outbox a socket."""
