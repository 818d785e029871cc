// Package browser opens pages that are served in the lab with a headless Chromium: for tests of what a reader sees, and for the
// pictures in the documentation. The browser may run in a network namespace of the lab, so that nothing listens for it.
package browser
