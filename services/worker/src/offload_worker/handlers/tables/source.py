"""The uploaded file as text: what it is written in, and its lines, of which there is never more than one in memory."""

import codecs
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import compile as pattern

from offload_worker.handle import JobRejected

MAX_LINE_CHARACTERS = 1024 * 1024
HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 1024 * 1024

#: How files begin that are uploaded as a table by mistake, and what to tell the client.
NOT_A_TABLE = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook; export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; export the sheet as CSV"),
    (b"\x1f\x8b", "compressed with gzip; unpack it"),
    (b"BZh", "compressed with bzip2; unpack it"),
    (b"\xfd7zXZ", "compressed with xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard; unpack it"),
    (b"PAR1", "a Parquet file; export it as CSV"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "XML"),
    (b'{"', "JSON; convert it to CSV"),
    (b"[{", "JSON; convert it to CSV"),
)

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: Tried in this order on a file without a mark.
GUESSES = ("utf-8", "cp1252")

CONTROL_CHARACTER = pattern("[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how to decode it."""

    path: Path
    codec: str
    guessed: bool = False  # neither named by the client nor provable from the bytes

    @property
    def encoding(self) -> str:
        """The encoding, without what is said of a byte order mark."""
        return self.codec.removesuffix("-sig")

    def lines(self) -> Generator[str, None, None]:
        """Yield the lines with their ends; raises `JobRejected` at one that is no text or far too long."""
        try:
            for number, line in enumerate(self._lines("strict"), start=1):
                _check_line(line, number)
                yield line if number > 1 else line.removeprefix("\ufeff")
        except UnicodeError:
            raise JobRejected(
                f"Line {self._first_undecodable()} is not valid {self.encoding}; name the `encoding` the file has."
            ) from None

    def _lines(self, errors: str) -> Iterator[str]:
        with self.path.open(encoding=self.codec, errors=errors, newline="") as text:
            while line := text.readline(MAX_LINE_CHARACTERS + 1):
                yield line

    def _first_undecodable(self) -> int:
        # Decoding runs ahead of the lines by a buffer's length, so the error does not know its line.
        marked = (number for number, line in enumerate(self._lines("replace"), start=1) if "\ufffd" in line)
        try:
            return next(marked, 1)
        except UnicodeError:  # not even the byte order is known
            return 1


def open_source(path: Path, encoding: str | None) -> Source:
    """Find out what the file is written in; raises `JobRejected` for an empty file and for what is no text."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not start:
        raise JobRejected("The file is empty.")
    for signature, what in NOT_A_TABLE:
        if head.startswith(signature) or start.startswith(signature):
            raise JobRejected(f"The file is not a CSV table but {what}.")
    certain = _marked(head) or encoding or _utf16_without_mark(head)  # a mark is right whatever the client says
    return Source(path, certain) if certain else _guess(path, head)


def _marked(head: bytes) -> str | None:
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS if head.startswith(mark)), None)


def _utf16_without_mark(head: bytes) -> str | None:
    # Latin text in UTF-16 has a zero in every second byte, and nowhere else.
    even, odd = head[0::2], head[1::2]
    if odd.count(0) > 0.4 * len(odd) and not even.count(0):
        return "utf-16-le"
    if even.count(0) > 0.4 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None


def _guess(path: Path, head: bytes) -> Source:
    for encoding in GUESSES:
        if _decodes(path, encoding):
            return Source(path, encoding, guessed=encoding != GUESSES[0])
    if CONTROL_CHARACTER.search(head.decode("iso-8859-1")):
        raise JobRejected("The file is binary, not a CSV table.")
    raise JobRejected(f"The file is neither {' nor '.join(GUESSES)}; name its `encoding`.")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _check_line(line: str, number: int) -> None:
    if len(line) > MAX_LINE_CHARACTERS:
        raise JobRejected(
            f"Line {number} is longer than {MAX_LINE_CHARACTERS:,} characters: it has too many columns or no line ends."
        )
    if found := CONTROL_CHARACTER.search(line):
        raise JobRejected(
            f"Line {number} holds the control character U+{ord(found[0]):04X}: the file is binary, not a CSV table."
        )
