package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	folderPattern = "stowage-controlplane-*"
	// ownerFile lies in a folder for as long as its control plane runs, and its
	// owner holds the file's lock. With nobody holding it, the owner was killed.
	ownerFile = "owner"
)

// newFolder makes the folder of a control plane, and removes those that were
// left by owners that have been killed.
func newFolder(parent string) (dir string, owner *os.File, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if err := sweep(parent); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(parent, folderPattern); err != nil {
		return "", nil, fmt.Errorf("creating the control plane's folder: %w", err)
	}
	// The file gets its name when its lock is held, so that no sweep can find it
	// between the two.
	unnamed := filepath.Join(dir, ownerFile+".new")
	if owner, err = tryLock(unnamed); err != nil {
		return dir, nil, err
	}
	if err := os.Rename(unnamed, filepath.Join(dir, ownerFile)); err != nil {
		return dir, nil, errors.Join(fmt.Errorf("naming the folder's owner: %w", err), owner.Close())
	}
	return dir, owner, nil
}

// sweep removes abandoned folders. Those that were kept on purpose have no
// owner file, and stay.
func sweep(parent string) error {
	owners, err := filepath.Glob(filepath.Join(parent, folderPattern, ownerFile))
	if err != nil {
		return fmt.Errorf("looking for abandoned folders: %w", err)
	}
	for _, path := range owners {
		if err := sweepOne(path); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("removing an abandoned folder: %w", err)
		}
	}
	return nil
}

func sweepOne(path string) error {
	// Another sweep may be removing the same folder; a lock that had to create
	// the file would then leave it behind.
	if _, err := os.Stat(path); err != nil {
		return err
	}
	owner, err := tryLock(path)
	if err != nil || owner == nil {
		return err
	}
	return errors.Join(os.RemoveAll(filepath.Dir(path)), owner.Close())
}
