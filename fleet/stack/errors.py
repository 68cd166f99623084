"""What can go wrong with the local stack, in words for the person who started it."""


class StackError(Exception):
    """Something that a person must know or do; its text is printed as it is, without a traceback."""


class PortTakenError(StackError):
    """The server could not listen because another program has its port."""
