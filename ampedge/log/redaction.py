"""What may not be read in any line: passwords that are known, and those that stand in a URL."""

import json
import re
from urllib.parse import quote, quote_plus

_HIDDEN = "***"
_IN_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@]*:)\S+@")
_SHORT = 4

_secrets: set[str] = set()
_known: re.Pattern[str] | None = None


def keep_secret(text: str) -> None:
    """From now on `text` appears in no line, neither as it is nor as a URL, JSON or Python writes it.

    A secret of up to three characters is hidden only where it stands as a word of its own.
    """
    global _known  # noqa: PLW0603  # secrets belong to the process, as its output does
    if text and text not in _secrets:
        _secrets.add(text)
        spellings = {spelling for secret in _secrets for spelling in _spellings(secret)}
        _known = re.compile("|".join(map(_pattern, sorted(spellings, key=len, reverse=True))))


def redacted(text: str) -> str:
    """The text with every secret in it replaced."""
    if "://" in text:
        text = _IN_URL.sub(rf"\1{_HIDDEN}@", text)
    return text if _known is None else _known.sub(_HIDDEN, text)


def _spellings(secret: str) -> set[str]:
    quoted = {repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, quote(secret, safe=""), quote_plus(secret), *quoted}


def _pattern(spelling: str) -> str:
    return re.escape(spelling) if len(spelling) >= _SHORT else rf"(?<!\w){re.escape(spelling)}(?!\w)"
