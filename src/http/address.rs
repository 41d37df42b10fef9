//! Where a request comes from (pure): the address that connected, or what proxies say that are trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use poem::Request;

/// The header in which each proxy adds who connected to it.
const FORWARDED: &str = "x-forwarded-for";

/// Where a request comes from.
pub fn of(request: &Request, proxies: &[IpNet]) -> IpAddr {
    let peer =
        request.remote_addr().as_socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), std::net::SocketAddr::ip);
    let said = request.headers().get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok());
    group(farthest(peer, &said.collect::<Vec<_>>().join(","), proxies))
}

/// Whether a request came to a trusted proxy by TLS.
pub fn is_secure(request: &Request, proxies: &[IpNet]) -> bool {
    let peer = request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical());
    let trusted = peer.is_some_and(|peer| proxies.iter().any(|proxy| proxy.contains(&peer)));
    trusted && request.header("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// The nearest address that is no trusted proxy: what stands farther left may be made up.
fn farthest(peer: IpAddr, said: &str, proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(&address));
    let mut nearest = peer.to_canonical();
    for part in said.rsplit(',').map(str::trim) {
        if !trusted(nearest) {
            break;
        }
        match part.parse::<IpAddr>() {
            Ok(address) => nearest = address.to_canonical(),
            Err(_) => break,
        }
    }
    nearest
}

/// Whoever has one IPv6 address has 2^64 of them: they count as one.
fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let s = address.segments();
            IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_as_far_as_they_reach() {
        let proxies = ["127.0.0.1/32", "10.0.0.0/8"].map(|net| net.parse().expect("a network"));
        assert_eq!(farthest(ip("9.9.9.9"), "1.2.3.4", &proxies), ip("9.9.9.9"));
        assert_eq!(farthest(ip("127.0.0.1"), "", &proxies), ip("127.0.0.1"));
        assert_eq!(farthest(ip("127.0.0.1"), "1.2.3.4", &proxies), ip("1.2.3.4"));
        assert_eq!(farthest(ip("::ffff:127.0.0.1"), "6.6.6.6, 1.2.3.4, 10.0.0.7", &proxies), ip("1.2.3.4"));
        assert_eq!(farthest(ip("127.0.0.1"), "1.2.3.4, nonsense", &proxies), ip("127.0.0.1"));
        assert_eq!(group(ip("2001:db8::1:2:3:4")), group(ip("2001:db8::9")));
        assert_ne!(group(ip("2001:db8:0:1::1")), group(ip("2001:db8:0:2::1")));
    }
}
