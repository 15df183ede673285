"""Everything that can go wrong and is somebody else's to answer, one sentence a class."""


class OffloadError(Exception):
    """The base of Offload's own errors; its message is a sentence fit for a person."""


class SettingsInvalid(OffloadError):  # noqa: N818
    """A setting is malformed; the message names the variable and shows the value."""


class StoreUnavailable(OffloadError):  # noqa: N818
    """The store cannot be reached or cannot work now; nothing was written."""


class CommitUnknown(StoreUnavailable):
    """The store went away inside a commit; whether it was written is not known."""


class ArtifactsUnavailable(OffloadError):  # noqa: N818
    """The artifact storage cannot be reached or refused the operation."""


class IssuerUnavailable(OffloadError):  # noqa: N818
    """The issuer of tokens cannot be reached, or does not answer as one; nothing is known of the key."""


class AddressRefused(OffloadError):  # noqa: N818
    """A URL leads where nobody is sent by it; the message completes a sentence that begins with the URL."""


class RequestFailed(OffloadError):  # noqa: N818
    """A request to somebody else's server had no answer."""


class ReferenceInvalid(OffloadError):  # noqa: N818
    """A reference in a payload leads nowhere; the message completes a sentence that begins with its `pointer`."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer
