// Command runc-lab runs runc in the lab's nodes.
//
// A machine with hybrid cgroups offers few controllers in its version 2 tree,
// and runc refuses a limit whose controller is missing. Before `create` this
// wrapper takes such limits out of the bundle, and it answers `update` itself.
// It also shows a container the identity of its node in place of this machine's.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const runc = "/opt/lab/runc/runc"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-lab:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "identity" {
		return identity(os.Stdin)
	}
	call := parse(args)
	have, err := controllers()
	if err != nil {
		return err
	}
	if call.verb == "update" && !(have["cpu"] && have["memory"]) {
		return nil
	}
	if call.verb == "create" && call.bundle != "" {
		if err := adapt(filepath.Join(call.bundle, "config.json"), have); err != nil {
			return fmt.Errorf("adapt the bundle of a container: %w", err)
		}
	}
	return syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ())
}

type call struct {
	verb   string
	bundle string
}

// parse finds the verb and the bundle; every other argument is runc's affair.
func parse(args []string) call {
	var c call
	for i, arg := range args {
		switch {
		case c.verb == "" && (arg == "create" || arg == "update"):
			c.verb = arg
		case (arg == "--bundle" || arg == "-b") && i+1 < len(args):
			c.bundle = args[i+1]
		}
	}
	return c
}

func controllers() (map[string]bool, error) {
	text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, name := range strings.Fields(string(text)) {
		have[name] = true
	}
	return have, nil
}

func adapt(path string, have map[string]bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&spec); err != nil {
		return err
	}
	dropMissing(spec, have)
	addIdentityHook(spec)
	if text, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func dropMissing(spec map[string]any, have map[string]bool) {
	linux, _ := spec["linux"].(map[string]any)
	resources, _ := linux["resources"].(map[string]any)
	keys := map[string]string{
		"cpu": "cpu", "memory": "memory", "pids": "pids", "io": "blockIO", "hugetlb": "hugepageLimits",
	}
	for controller, key := range keys {
		if !have[controller] {
			delete(resources, key)
		}
	}
	if !have["memory"] || !have["cpu"] {
		delete(resources, "unified")
	}
}
