package peering

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestPasswordIsNeverPrinted(t *testing.T) {
	const secret = "correct horse"
	p := NewPassword(secret)
	peer := Peer{Password: p}
	inner := struct{ peer Peer }{peer} // fmt calls no methods in there
	var log bytes.Buffer
	for _, h := range []slog.Handler{
		slog.NewTextHandler(&log, nil),
		slog.NewJSONHandler(&log, nil),
	} {
		slog.New(h).Info("x", "password", p, "peer", peer, "inner", inner, "pointer", &peer)
	}
	asJSON, err := json.Marshal(map[string]any{"password": p, "peer": peer})
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(asJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		for _, v := range []any{p, &p, peer, &peer, inner, &inner, []Peer{peer}, map[Password]bool{p: true}} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
	}
	for _, s := range printed {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), "99 111 114 114"} {
			if strings.Contains(s, form) {
				t.Errorf("%s", s)
			}
		}
	}
	if got := fmt.Sprint(p); got != hidden {
		t.Errorf("printed %q", got)
	}
}

func TestPasswordCompares(t *testing.T) {
	again := NewPassword(strings.Join([]string{"a", "b"}, ""))
	if NewPassword("ab") != again || NewPassword("ab") == NewPassword("ac") {
		t.Error("passwords do not compare by value")
	}
	none := NewPassword("")
	if none != (Password{}) || none.IsSet() || none.Secret() != "" || fmt.Sprint(none) != "" {
		t.Error("the empty password is not none")
	}
	if !again.IsSet() || again.Secret() != "ab" {
		t.Errorf("lost: %q", again.Secret())
	}
}
