// Package image makes the container image: the static binary for each architecture, as one multi-architecture image in an
// OCI archive, without a container engine, a base image or a network.
//
// It owns the image's form. It builds no binaries, and pushes nothing. What goes in decides every byte that comes out:
// there is no time but [Spec].Created, and no name or owner of a file but those written down here.
package image
