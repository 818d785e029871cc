package roster

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Access is a host of a list, and how Ansible would reach it over SSH.
type Access struct {
	Node
	User string // of the remote host; empty when the list does not say
	Port uint16 // of its SSH server; 0 when the list does not say
}

// ParseAccess reads a list of hosts as [Parse] does and keeps how they are reached: ansible_user and ansible_port (and
// their old names with ssh) of the host's line, else of a [group:vars] section of a group that the host is in, else of
// [all:vars]. Passwords and keys in the list are passed over. The result is sorted by address and has each once, with what
// its first line says.
func ParseAccess(file string, data []byte) ([]Access, error) {
	nodes, err := Parse(file, data)
	if err != nil {
		return nil, err
	}
	lines := significant(string(data))
	out := make([]Access, len(nodes))
	for i, n := range nodes {
		out[i].Node = n
	}
	if !looksLikeInventory(lines) {
		return out, nil
	}
	p := &parser{file: file}
	p.access(lines, out)
	return out, errors.Join(p.errs...)
}

// access fills in what the lines of an inventory, which is well-formed, say of each host.
func (p *parser) access(lines []line, out []Access) {
	vars := map[string]map[string]string{} // by group
	var hosts []host
	group, kind := "", ""
	for _, l := range lines {
		if k, ok := section(l.text); ok {
			group, kind = sectionName(l.text), k
			continue
		}
		switch kind {
		case "vars":
			if vars[group] == nil {
				vars[group] = map[string]string{}
			}
			if key, value, ok := strings.Cut(l.text, "="); ok {
				vars[group][strings.TrimSpace(key)] = unquote(value)
			}
		case "", "hosts":
			for _, h := range p.inventoryHosts(l) {
				h.group = group
				hosts = append(hosts, h)
			}
		}
	}
	known := hostAddresses(hosts)
	byAddress := make(map[string]*Access, len(out))
	for i := range out {
		byAddress[out[i].Addr.String()] = &out[i]
	}
	for _, from := range []func(host) map[string]string{
		func(h host) map[string]string { return h.vars },
		func(h host) map[string]string { return vars[h.group] },
		func(host) map[string]string { return vars["all"] },
	} {
		for _, h := range hosts {
			if a := byAddress[h.literal(known)]; a != nil {
				p.reach(h, from(h), a)
			}
		}
	}
}

// reach takes what is not known yet from the variables of a host.
func (p *parser) reach(h host, vars map[string]string, a *Access) {
	for _, key := range []string{"ansible_user", "ansible_ssh_user"} {
		if v := vars[key]; v != "" && a.User == "" {
			if err := CheckUser(v); err != nil {
				p.fail(h.at, "%s: %v", key, err)
				return
			}
			a.User = v
		}
	}
	for _, key := range []string{"ansible_port", "ansible_ssh_port"} {
		if v := vars[key]; v != "" && a.Port == 0 {
			port, err := strconv.ParseUint(v, 10, 16)
			if err != nil || port == 0 {
				p.fail(h.at, "%s: %q is not a port from 1 to 65535", key, v)
				return
			}
			a.Port = uint16(port)
		}
	}
	if port := portOf(h.name); port != 0 && a.Port == 0 {
		a.Port = port
	}
}

// CheckUser refuses what is not the name of a user that can be given to ssh as it is.
func CheckUser(name string) error {
	const known = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@\\-"
	if name == "" || len(name) > 64 || name[0] == '-' || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(known, r) }) {
		return fmt.Errorf("%q is not the name of a user", name)
	}
	return nil
}

func unquote(value string) string {
	words, err := shellWords(strings.TrimSpace(value))
	if err != nil || len(words) == 0 {
		return ""
	}
	return words[0]
}
