package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

var (
	// ErrUnreachable says that no daemon answers on the socket: the commands exit 2.
	ErrUnreachable = errors.New("routed is not reachable")
	// ErrSchema says that the daemon answers in another version of the schema, or is no routed.
	ErrSchema = errors.New("the daemon and this command do not understand each other")
)

// Client asks the daemon behind a socket. It keeps no connection open between questions.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client for the socket at path; it opens nothing.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{socket: path, http: http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// Status asks how the node is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.get(ctx, "/v1/status", nil, &s)
	return s, err
}

// Peers asks for every BGP session.
func (c *Client) Peers(ctx context.Context) (Peers, error) {
	var p Peers
	err := c.get(ctx, "/v1/peers", nil, &p)
	return p, err
}

// Routes asks for the routes to one cluster, or to all when cluster is empty. The error for a cluster that the daemon
// does not know is [ErrUnknownCluster].
func (c *Client) Routes(ctx context.Context, cluster string) (Routes, error) {
	q := url.Values{}
	if cluster != "" {
		q.Set("cluster", cluster)
	}
	var r Routes
	err := c.get(ctx, "/v1/routes", q, &r)
	return r, err
}

// Why asks for the way to one address.
func (c *Client) Why(ctx context.Context, address netip.Addr) (Why, error) {
	var w Why
	err := c.get(ctx, "/v1/why", url.Values{"address": {address.String()}}, &w)
	return w, err
}

// get asks and decodes into out. Every error of the way there wraps [ErrUnreachable].
func (c *Client) get(ctx context.Context, path string, q url.Values, out any) error {
	u := url.URL{Scheme: "http", Host: "routed", Path: path, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if err := checkSchema(resp); err != nil {
		return fmt.Errorf("%w (socket %s)", err, c.socket)
	}
	if resp.StatusCode != http.StatusOK {
		return replyError(path, resp)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || ctx.Err() != nil {
			return c.unreachable(err)
		}
		return fmt.Errorf("answer to %s: %w", path, err)
	}
	return nil
}

func checkSchema(resp *http.Response) error {
	version := resp.Header.Get(schemaHeader)
	switch version {
	case strconv.Itoa(SchemaVersion):
		return nil
	case "":
		return fmt.Errorf("%w: what answers is no routed; see admin.socket in its configuration", ErrSchema)
	default:
		return fmt.Errorf("%w: it answers in version %s of the schema, this command reads version %d; "+
			"use the `routed` of the same release", ErrSchema, version, SchemaVersion)
	}
}

func replyError(path string, resp *http.Response) error {
	var reply ErrorReply
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&reply); err != nil {
		return fmt.Errorf("the daemon answers %s to %s", resp.Status, path)
	}
	if reply.Error.Code == codeUnknownCluster {
		return &clusterError{reply.Error.Message}
	}
	return fmt.Errorf("the daemon answers %s to %s: %s", resp.Status, path, reply.Error.Message)
}

// clusterError is the daemon's own words for an [ErrUnknownCluster].
type clusterError struct{ message string }

func (e *clusterError) Error() string        { return e.message }
func (e *clusterError) Is(target error) bool { return target == ErrUnknownCluster }

func (c *Client) unreachable(err error) error {
	if about, ok := errors.AsType[*url.Error](err); ok {
		err = about.Err // without the made-up address of the page
	}
	return fmt.Errorf("%w: socket %s: %s (%w)", ErrUnreachable, c.socket, hint(c.socket, err), err)
}

// hint says in words what the error of a question most likely means.
func hint(socket string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket: is the daemon running (`systemctl status routed`), " +
			"and does --socket or $ROUTED_SOCKET name its admin.socket?"
	case errors.Is(err, syscall.ECONNREFUSED) && !isSocket(socket):
		return "it is no socket; does --socket or $ROUTED_SOCKET name the daemon's admin.socket?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens on it: the daemon has died (`systemctl status routed`, `journalctl -u routed`)"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to use it: " + owner(socket)
	case errors.Is(err, context.DeadlineExceeded):
		return "the daemon does not answer in time; see its log"
	default:
		return "the connection broke"
	}
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// owner says who may use the socket, to somebody who may not.
func owner(socket string) string {
	info, err := os.Stat(socket)
	if err != nil {
		return "its directory is closed to you; be root (`sudo`)"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "be root (`sudo`)"
	}
	if st.Gid == 0 {
		return fmt.Sprintf("it belongs to group root, and you are %s; be root (`sudo`)", me())
	}
	id := strconv.FormatUint(uint64(st.Gid), 10)
	group := id
	if g, err := user.LookupGroupId(id); err == nil {
		group = g.Name
	}
	return fmt.Sprintf("it belongs to group %s, and you are %s; be a member of it (`sudo usermod -aG %s %[2]s`, then log in again), or root (`sudo`)",
		group, me(), group)
}

// me is the user who asks.
func me() string {
	id := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
