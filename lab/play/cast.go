package play

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"routed/lab"
)

// Cast is who plays: the routed, the BIRD, and how they meet.
type Cast struct {
	Routed string // the binary
	Mode   lab.Peering

	bird string
}

// Flags adds the cast's to a command line. After the command line was parsed comes [Cast.Check].
func (c *Cast) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Routed, "routed", filepath.Join("bin", "routed"), "the routed to play with")
	fs.StringVar(&c.bird, "bird", "auto", "1.6, 2, standin, or auto: the first of them that can be had")
	fs.TextVar(&c.Mode, "mode", lab.Dial, "how routed meets BIRD: dial (Calico before 3.16) or accept")
}

// Check says what of the command line cannot be played.
func (c *Cast) Check() error {
	var err error
	if c.Routed, err = Binary(c.Routed); err != nil {
		return err
	}
	if len(c.birds()) == 0 {
		return fmt.Errorf("--bird %q: want 1.6, 2, standin or auto", c.bird)
	}
	return nil
}

// Binary is the absolute path of a program that `make` builds.
func Binary(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no %s to play with; make builds it: %w", filepath.Base(path), err)
	}
	return path, nil
}

// Tools are what must be fetched before the sandbox is entered.
func (c *Cast) Tools() []lab.Tool { return append(c.birds(), lab.Ping) }

// birds lists what may play BIRD, the preferred one first.
func (c *Cast) birds() []lab.Tool {
	switch c.bird {
	case "1.6":
		return []lab.Tool{lab.BIRD16}
	case "2":
		return []lab.Tool{lab.BIRD2}
	case "standin":
		return []lab.Tool{lab.StandIn}
	case "auto":
		return []lab.Tool{lab.BIRD16, lab.BIRD2, lab.StandIn}
	default:
		return nil
	}
}

// BIRD chooses what plays BIRD, and says so when it is not what was asked for.
func (c *Cast) BIRD(p *Printer) (lab.BIRD, error) {
	var errs []error
	for _, tool := range c.birds() {
		if _, err := tool.Find(); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, err := range errs {
			p.Say("%v", err)
		}
		if tool == lab.StandIn {
			p.Say("NOTE: a GoBGP speaker stands in for BIRD on every node, and the lab programs BIRD's routes.")
		}
		return lab.BIRD{Tool: tool, Peering: c.Mode}, nil
	}
	return lab.BIRD{}, errors.Join(errs...)
}

// Name is what to call a BIRD in the story.
func Name(b lab.BIRD) string {
	if b.Tool == lab.StandIn {
		return "the stand-in"
	}
	return "BIRD " + strings.TrimSuffix(b.Tool.Version, ".")
}
