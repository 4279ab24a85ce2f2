package oci

import (
	"context"
	"net/netip"
	"strings"
	"syscall"

	"fairlead.dev/fairlead/internal/fault"
)

// controlFunc is asked with the address that is really about to be dialled,
// after every lookup, so that a name that changes its address between two
// lookups gains nothing.
type controlFunc = func(ctx context.Context, network, address string, conn syscall.RawConn) error

// publicOnly refuses every address that is not on the public internet.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	reach, err := reachOf(address)
	if err != nil {
		return err
	}
	if reach != public {
		return forbidden(address, reach)
	}
	return nil
}

// neverLinkLocal refuses what no registry is ever at: the address of a
// cloud's metadata service above all.
func neverLinkLocal(_ context.Context, _, address string, _ syscall.RawConn) error {
	reach, err := reachOf(address)
	if err != nil {
		return err
	}
	if reach == linkLocal {
		return forbidden(address, reach)
	}
	return nil
}

// reach says from where an address can be reached.
type reach string

const (
	public    reach = "public"
	private   reach = "private"
	loopback  reach = "loopback"
	linkLocal reach = "link-local"
)

// Ranges that net/netip has no method for.
// https://www.iana.org/assignments/iana-ipv4-special-registry/
// https://www.iana.org/assignments/iana-ipv6-special-registry/
var (
	privateRanges = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"), // carriers and clouds inside their own networks
		netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("64:ff9b:1::/48"), // RFC 8215: translation inside one network
	}
	metadataAddresses = []netip.Addr{
		netip.MustParseAddr("100.100.100.200"), // https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
		netip.MustParseAddr("192.0.0.192"),     // https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm
		netip.MustParseAddr("fd00:ec2::254"),   // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
	}
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: an IPv4 address in the last four bytes
)

// reachOf classes an ip:port.
func reachOf(address string) (reach, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", fault.New(fault.Denied, "address_forbidden", "%q is no address that may be dialled", address)
	}
	return reachOfAddr(at.Addr()), nil
}

func reachOfAddr(ip netip.Addr) reach {
	ip = ip.WithZone("").Unmap()
	if nat64.Contains(ip) {
		all := ip.As16()
		ip = netip.AddrFrom4([4]byte(all[12:]))
	}
	for _, metadata := range metadataAddresses {
		if ip == metadata {
			return linkLocal
		}
	}
	switch {
	case ip.IsLinkLocalUnicast(), ip.IsMulticast():
		return linkLocal
	case ip.IsLoopback(), ip.IsUnspecified():
		return loopback
	case ip.IsPrivate():
		return private
	}
	for _, prefix := range privateRanges {
		if prefix.Contains(ip) {
			return private
		}
	}
	return public
}

// reachOfName is the reach that a host name tells by itself: of a literal
// address and of localhost. Every other name counts as public, until the
// address behind it is known.
func reachOfName(hostname string) reach {
	if ip, err := netip.ParseAddr(hostname); err == nil {
		return reachOfAddr(ip)
	}
	name := strings.TrimSuffix(strings.ToLower(hostname), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return loopback
	}
	return public
}

func forbidden(address string, r reach) error {
	f := fault.New(fault.Denied, "address_forbidden", "%s is a %s address, which is not reached for this registry", address, r)
	if r == linkLocal {
		return f.WithHint("No registry is at such an address; if a registry's answer led here, do not trust that registry.")
	}
	return f.WithHint("If the registry really is there, an admin of this Fairlead can enter a host rule for its name.")
}
