"""
Addresses and networks: which are ours, and whose address a request comes from. Pure.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

HOPS_MAX: Final = 32
IPV6_PREFIX: Final = 64  # one customer's; any address of it is theirs


def hosts_of(text: str) -> list[str]:
    """Return the hosts of a setting, `127.0.0.1,::1`; an IPv6 address may stand in brackets."""
    return [each.strip().removeprefix("[").removesuffix("]") for each in text.split(",") if each.strip()]


def http_url(hosts: str, port: int) -> str:
    """Return where somebody on this machine reaches what listens on these hosts: the first one's address."""
    host = hosts_of(hosts)[0]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def networks_of(text: str) -> Networks:
    """Return the networks of a setting, `10.0.0.0/8,2001:db8::/32`; raises ValueError for a malformed one."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def is_within(address: Address, networks: Networks) -> bool:
    """Tell whether the address lies in one of the networks."""
    return any(address in each for each in networks if each.version == address.version)


def unmapped(address: Address) -> Address:
    """Return an IPv4 address that came in the form of IPv6 (`::ffff:192.0.2.1`) as what it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def counted(address: Address | None) -> IPv4Network | IPv6Network:
    """
    Return what whoever comes from an address is counted by; a peer without one (a Unix socket) is 0.0.0.0.
    """
    known = unmapped(address or IPv4Address(0))
    return ip_network((known, IPV6_PREFIX if known.version == 6 else 32), strict=False)


def client_address(peer: str | None, forwarded: Iterable[str], trusted: Networks) -> Address | None:
    """
    Return whom a request comes from: the first address, seen from here, that is not one of our own proxies.

    Every proxy appends whom it heard, so the list is read from its end, and only as long as one of ours wrote
    it. What a client put in front is never reached. A hop that is no address (nor one with a port) ends the
    reading: the proxy that passed it on is the last one known.

    Args:
        peer: the connection's other end; None or a path on a Unix socket.
        forwarded: the values of X-Forwarded-For, in the order of the headers.
        trusted: networks of our own proxies.

    Returns:
        None where the peer has no address.
    """
    nearest = _address(peer or "")
    if nearest is None or not is_within(nearest, trusted):
        return nearest
    hops = [hop for value in forwarded for hop in value.split(",")]
    for hop in hops[: -HOPS_MAX - 1 : -1]:
        address = _address(hop)
        if address is None:
            break
        nearest = address
        if not is_within(address, trusted):
            break
    return nearest


def _address(text: str) -> Address | None:
    """Read `192.0.2.1`, `2001:db8::1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`; else None."""
    plain = text.strip()
    if plain.startswith("["):
        plain, _, port = plain[1:].partition("]")
    elif plain.count(":") == 1:
        plain, _, port = plain.partition(":")
    else:
        port = ""
    if port.removeprefix(":") and not port.removeprefix(":").isdecimal():
        return None
    try:
        return unmapped(ip_address(plain.partition("%")[0]))
    except ValueError:
        return None
