package runc

import (
	"os"
	"path/filepath"
	"testing"
)

// A machine has one version of cgroups; what differs in the other is held here
// against the files that its documentation describes
// (https://docs.kernel.org/admin-guide/cgroup-v2.html).
func TestCgroupV2EnablesMemoryFromTheTopAndCountsKillsOfTheWholeGroup(t *testing.T) {
	mount := t.TempDir()
	c := cgroups{mount: mount, parent: "work/fairlead", v2: true}
	watch, err := c.watch("one", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.close()
	for _, group := range []string{"", "work", "work/fairlead"} {
		control, err := os.ReadFile(filepath.Join(mount, group, "cgroup.subtree_control"))
		if err != nil || string(control) != "+memory" {
			t.Errorf("subtree control of %q is %q, %v", group, control, err)
		}
	}
	if path := c.path("one"); path != "/work/fairlead/one/container" {
		t.Errorf("path %q", path)
	}
	for events, want := range map[string]bool{
		"low 0\noom 0\noom_kill 0\noom_group_kill 0\n": false,
		"low 0\noom 3\noom_kill 1\noom_group_kill 0\n": true,
	} {
		if err := os.WriteFile(filepath.Join(mount, "work/fairlead/one/memory.events"), []byte(events), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := watch.killed(); err != nil || got != want {
			t.Errorf("%q: killed %v, %v; want %v", events, got, err, want)
		}
	}
}

func TestCrunIsNotChosenWhereBothVersionsHaveControllers(t *testing.T) {
	mount := t.TempDir()
	c := cgroups{mount: mount}
	if c.hybridWithControllers() {
		t.Error("v1 alone is no hybrid")
	}
	if err := os.Mkdir(filepath.Join(mount, "unified"), 0o700); err != nil {
		t.Fatal(err)
	}
	for controllers, want := range map[string]bool{"\n": false, "hugetlb\n": true} {
		if err := os.WriteFile(filepath.Join(mount, "unified/cgroup.controllers"), []byte(controllers), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := c.hybridWithControllers(); got != want {
			t.Errorf("controllers %q in v2: %v, want %v", controllers, got, want)
		}
	}
}
