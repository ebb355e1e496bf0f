"""permessage-deflate as we agree to it: without context takeover on either side, and within bounds.

What goes out is compressed in wire/dialects/deflated.py; here is the agreement, and what comes in.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from autobahn.exception import PayloadCorruptError, PayloadExceededError
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from exchange_push.wire.dialects.deflated import WINDOW_BITS

_NAME: Final = "permessage-deflate"


def fits(window_bits: int) -> bool:
    """Whether what we compress for all can be read with a window that is so wide at most; 0: of any width."""
    return not 0 < window_bits < WINDOW_BITS


class Agreement(PerMessageDeflateOfferAccept):
    """Says what we do and want; a server may say so whether or not it was asked (RFC 7692, 7.1)."""

    def get_extension_string(self) -> str:
        asked = self.offer.request_max_window_bits
        bits = WINDOW_BITS if fits(asked) else asked
        return f"{_NAME}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits={bits}"


def agree(offers: Iterable[object]) -> Agreement | None:
    """Take the first offer that lets us compress as for all others; else one after which only the client compresses."""
    found = [offer for offer in offers if isinstance(offer, PerMessageDeflateOffer)]
    for offer in sorted(found, key=lambda offer: not fits(offer.request_max_window_bits)):
        return Agreement(offer, no_context_takeover=True)
    return None


class Inflate:
    """Reads compressed messages in the place of Autobahn's own reader, which would keep 40 KiB for the next one."""

    __slots__ = ("_inflate",)
    EXTENSION_NAME = _NAME

    def start_decompress_message(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        # One byte more than may be: zlib takes 0 for no limit.
        limit = -1 if max_output_len is None else max(0, max_output_len)
        try:
            found = self._inflate.decompress(data, limit + 1)
        except zlib.error as error:
            raise PayloadCorruptError(f"invalid permessage-deflate data: {error}") from error
        if limit >= 0 and len(found) > limit:
            raise PayloadExceededError("the message is too long when it is inflated")
        return found

    def end_decompress_message(self) -> None:
        try:
            self._inflate.decompress(b"\x00\x00\xff\xff", 1)
        except zlib.error as error:
            raise PayloadCorruptError(f"invalid permessage-deflate data: {error}") from error
        finally:
            del self._inflate
