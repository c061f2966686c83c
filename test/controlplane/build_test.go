package controlplane

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// module writes a program of one file and returns its folder.
func module(t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module example.test/program\n\ngo 1.26.0\n",
		"go.sum":  "",
		"main.go": source,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// lines is a writer for several goroutines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func TestBuildOnceForMany(t *testing.T) {
	cache, source := t.TempDir(), module(t, "package main\n\nfunc main() { print(\"ready\") }\n")
	var (
		progress lines
		wait     sync.WaitGroup
		paths    [4]string
	)
	for i := range paths {
		wait.Go(func() {
			var err error
			if paths[i], err = buildIn(t.Context(), cache, source, &progress); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, path := range paths {
		if path != paths[0] {
			t.Errorf("one call returned %s, another %s", paths[0], path)
		}
	}
	if output, err := exec.Command(paths[0]).CombinedOutput(); err != nil || string(output) != "ready" {
		t.Errorf("the executable: %q, %v", output, err)
	}
	if n := strings.Count(progress.buf.String(), "built in"); n != 1 {
		t.Errorf("compiled %d times:\n%s", n, progress.buf.String())
	}
}

func TestBuildThatFails(t *testing.T) {
	cache, source := t.TempDir(), module(t, "package main\n\nfunc main() { nothing() }\n")
	_, err := buildIn(t.Context(), cache, source, &lines{})
	if err == nil || !strings.Contains(err.Error(), "undefined: nothing") {
		t.Errorf("the compiler's words are missing: %v", err)
	}
}

func TestBuildThatIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := buildIn(ctx, t.TempDir(), module(t, "package main\n\nfunc main() {}\n"), &lines{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBuildKeyFollowsTheSources(t *testing.T) {
	source := module(t, "package main\n\nfunc main() {}\n")
	seen := map[string]string{}
	for _, file := range []string{"nothing", "main.go", "go.mod", "go.sum", "another.go"} {
		if file != "nothing" {
			f, err := os.OpenFile(filepath.Join(source, file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("\n// changed\n"); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		key, err := buildKey(source)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[key]; ok {
			t.Errorf("the key did not change with %s, since %s", file, before)
		}
		seen[key] = file
	}
}

func TestSourceFolderWithoutPaths(t *testing.T) {
	// What a caller built with -trimpath has left: the working folder.
	here, err := folderFrom(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(here, "go.sum")); err != nil {
		t.Error(err)
	}
	if _, err := folderFrom(t.TempDir()); err == nil {
		t.Error("found sources outside a checkout")
	}
}

func TestLockExcludesWithinAProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := tryLock(path)
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	if second, err := tryLock(path); err != nil || second != nil {
		t.Fatal("two hold one lock", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lock(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := lock(t.Context(), path, func() { t.Error("waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestVersionIsTheModulesVersion(t *testing.T) {
	content, err := os.ReadFile("binary/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\tk8s.io/kubernetes " + kubernetesVersion + "\n"; !strings.Contains(string(content), want) {
		t.Errorf("binary/go.mod does not say %q", want)
	}
}
