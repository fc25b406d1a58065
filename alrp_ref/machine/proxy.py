"""The proxy by which an address is reached, to be named where a download fails."""

import urllib.request
from urllib.parse import urlsplit


def proxy_in_words(url: str) -> str:
    """ ", by way of the proxy ..." if the environment has one for this address, without its password; else nothing."""
    address, proxies = urlsplit(url), urllib.request.getproxies()
    name = address.scheme if address.scheme in proxies else "all"
    if name not in proxies or urllib.request.proxy_bypass(address.hostname or ""):
        return ""
    proxy = proxies[name].rpartition("@")[2]
    return f", by way of the proxy {proxy} (of the variable {name}_proxy)"
