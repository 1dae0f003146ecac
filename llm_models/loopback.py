"""Which addresses never leave this machine, and so never go through a proxy."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # whoever calls there will be told
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
