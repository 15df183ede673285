class ServersUnavailableError(Exception):
    """One way of getting the servers, or every way, is closed on this machine; the message says why."""


class ServerFailedError(Exception):
    """A server ended or stayed silent where it had to answer; the message carries the end of its log."""
