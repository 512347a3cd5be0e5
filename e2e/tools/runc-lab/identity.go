package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	self = "/opt/lab/runc-lab/runc-lab"
	// The node's boot id: a file of the node's over the kernel's.
	bootID = "/proc/sys/kernel/random/boot_id"
	// What the node adds to /sys/class: the firmware's identity of the machine.
	class = "/run/lab/class"
)

// addIdentityHook makes runc call this program once the container's /proc and
// /sys are mounted. They come fresh from the kernel, so without it a pod would
// see the machine below the lab where its node sees itself.
func addIdentityHook(spec map[string]any) {
	hooks, ok := spec["hooks"].(map[string]any)
	if !ok {
		hooks = map[string]any{}
		spec["hooks"] = hooks
	}
	list, _ := hooks["createContainer"].([]any)
	hooks["createContainer"] = append(list, map[string]any{
		"path": self,
		"args": []string{"runc-lab", "identity"},
	})
}

// identity is the hook: it runs in the container's mount namespace, before the
// container's root becomes the root, with the container's state as its input.
func identity(input io.Reader) error {
	root, err := rootOf(input)
	if err != nil {
		return err
	}
	if target := filepath.Join(root, bootID); exists(target) {
		if err := syscall.Mount(bootID, target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount the node's boot id: %w", err)
		}
	}
	target := filepath.Join(root, "sys/class")
	if exists(target) && exists(class) {
		layers := "lowerdir=" + class + ":" + target
		if err := syscall.Mount("overlay", target, "overlay", syscall.MS_RDONLY, layers); err != nil {
			return fmt.Errorf("mount the node's /sys/class: %w", err)
		}
	}
	return nil
}

func rootOf(input io.Reader) (string, error) {
	var state struct{ Bundle string }
	if err := json.NewDecoder(input).Decode(&state); err != nil {
		return "", fmt.Errorf("read the container's state: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(state.Bundle, "config.json"))
	if err != nil {
		return "", err
	}
	var spec struct{ Root struct{ Path string } }
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", fmt.Errorf("read the bundle: %w", err)
	}
	if strings.HasPrefix(spec.Root.Path, "/") {
		return spec.Root.Path, nil
	}
	return filepath.Join(state.Bundle, spec.Root.Path), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
