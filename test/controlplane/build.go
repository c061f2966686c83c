package controlplane

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kubernetesVersion is what the API server says it is. A build from modules
// carries no version of its own, and what it says without one cannot be parsed.
// The minor version must be the one that the module requires, because feature
// gates follow it.
const kubernetesVersion = "v1.36.3"

// Build returns the path to the executable that holds the control plane's
// programs, and compiles it first where it is missing. That takes about five
// minutes on two cores; after that, Build only hashes four small files.
//
// The executable lies in the folder that STOWAGE_CACHE names, by default
// stowage in the user's cache folder, under a key made of its sources, its
// modules, the Go version and the platform. Several processes may call Build
// at the same time: one compiles and the others wait for it.
//
// Lines that tell of progress go to progress, which may be nil.
func Build(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	source, err := sourceFolder()
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	return buildIn(ctx, cache, source, progress)
}

// buildIn is Build of the module in source, with the cache given.
func buildIn(ctx context.Context, cache, source string, progress io.Writer) (path string, err error) {
	key, err := buildKey(source)
	if err != nil {
		return "", fmt.Errorf("hashing the control plane's sources: %w", err)
	}
	path = filepath.Join(cache, key, "controlplane")
	if executable(path) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("creating the cache folder: %w", err)
	}
	lockFile, err := lock(ctx, filepath.Join(cache, key, "lock"), func() {
		fmt.Fprintln(progress, "control plane: another process is building it, waiting")
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lockFile.Close()) }()
	if executable(path) {
		return path, nil
	}
	if err := compile(ctx, source, path, progress); err != nil {
		return "", fmt.Errorf("building the control plane: %w", err)
	}
	return path, nil
}

// compile builds the module in source to path. The executable appears there
// whole or not at all. The caller holds the lock.
func compile(ctx context.Context, source, path string, progress io.Writer) (err error) {
	begin := time.Now()
	fmt.Fprintln(progress, "control plane: building etcd, Kubernetes and kwok from Go modules; about five minutes, once")
	scratch, err := newScratch(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	built := filepath.Join(scratch, filepath.Base(path))
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion="+kubernetesVersion, "-o", built, ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOTMPDIR="+scratch)
	// The go command leaves it to the terminal to interrupt the compilers that it
	// runs, so the signal must go to all of the group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	tail := followCompiler(output, progress, begin)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("go build in %s: %w\n%s", source, err, strings.Join(tail, "\n"))
	}
	if err := os.Rename(built, path); err != nil {
		return err
	}
	fmt.Fprintf(progress, "control plane: built in %s\n", time.Since(begin).Round(time.Second))
	return nil
}

// newScratch makes the folder that everything half done lies in, and removes
// those of builds that were killed.
func newScratch(folder string) (string, error) {
	stale, err := filepath.Glob(filepath.Join(folder, "scratch-*"))
	if err != nil {
		return "", err
	}
	for _, path := range stale {
		if err := os.RemoveAll(path); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(folder, "scratch-")
}

// followCompiler reads what go build -v prints, which is the name of each
// package as it is compiled, and turns it into a line every fifteen seconds. It
// returns the last lines, which say what went wrong if something did.
func followCompiler(output io.Reader, progress io.Writer, begin time.Time) (tail []string) {
	const interval = 15 * time.Second
	next := begin.Add(interval)
	packages := 0
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if len(tail) == 20 {
			tail = tail[1:]
		}
		tail = append(tail, lines.Text())
		if strings.HasPrefix(lines.Text(), "go: downloading ") {
			continue
		}
		packages++
		if now := time.Now(); now.After(next) {
			next = now.Add(interval)
			fmt.Fprintf(progress, "control plane: compiled %d packages of about 2,000 in %s\n",
				packages, now.Sub(begin).Round(time.Second))
		}
	}
	return tail
}

// sourceFolder finds the module of the executable: beside this file, or, where
// the caller was built without paths, in the checkout that the working folder
// is part of.
func sourceFolder() (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok {
		folder := filepath.Join(filepath.Dir(file), "binary")
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
	}
	return folderFrom(".")
}

// folderFrom looks for the checkout that a folder lies in, and returns the
// module's folder there.
func folderFrom(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("finding the control plane's sources: %w", err)
	}
	for {
		candidate := filepath.Join(folder, "test", "controlplane", "binary")
		if _, err := os.Stat(filepath.Join(candidate, "go.mod")); err == nil {
			return candidate, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("finding the control plane's sources: not in a checkout of stowage")
		}
		folder = parent
	}
}

// buildKey hashes everything that decides what the executable is.
func buildKey(source string) (string, error) {
	files, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil {
		return "", err
	}
	files = append(files, filepath.Join(source, "go.mod"), filepath.Join(source, "go.sum"))
	slices.Sort(files)
	h := sha256.New()
	fmt.Fprintln(h, kubernetesVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(file), len(content))
		h.Write(content)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// cacheFolder is where executables are kept between runs, outside the tree.
func cacheFolder() (string, error) {
	root := os.Getenv("STOWAGE_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding a cache folder (STOWAGE_CACHE names one): %w", err)
		}
		root = filepath.Join(user, "stowage")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	return filepath.Join(root, "controlplane"), nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}
