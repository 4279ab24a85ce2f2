package runc

import (
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// capabilities are Docker's default set
// (https://github.com/moby/moby/blob/v28.0.0/oci/caps/defaults.go).
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// The paths that Docker hides from a container, and those it may only read
// (https://github.com/moby/moby/blob/v28.0.0/oci/defaults.go).
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// capabilitiesOf are what a process of that user begins with: a user that is
// not root may gain them from a file at most, as execve has it.
func capabilitiesOf(account specs.User) *specs.LinuxCapabilities {
	if account.UID != 0 {
		return &specs.LinuxCapabilities{Bounding: capabilities}
	}
	return &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities}
}

// seccompFilter is Docker's default profile for this kernel and [capabilities].
// It depends on nothing else, so that one serves every container. Runtimes
// leave out system calls that they have never heard of.
func seccompFilter() (*specs.LinuxSeccomp, error) {
	return seccomp.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}},
	})
}
