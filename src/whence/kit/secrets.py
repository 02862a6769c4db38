"""Taking secrets out of what people get to see."""

import re

HIDDEN = "***"

_USER_INFO = re.compile(r"([a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@", re.IGNORECASE)
_PARAMETER = re.compile(r"((?:^|[?&\s])(?:password|sslpassword)=)[^&\s]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The text with the passwords of its URLs and connection strings replaced by `***`."""
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER_INFO.sub(rf"\1{HIDDEN}@", text))
