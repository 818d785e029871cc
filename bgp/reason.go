package bgp

import (
	"strings"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// downReason says why an established session ended. With graceful restart negotiated GoBGP hides the cause behind
// "graceful-restart", and it never says in an event what a peer's NOTIFICATION told; its log does.
func (s *session) downReason(st apiutil.PeerState, removed bool) string {
	switch {
	case removed && s.leaving != "":
		return "closed by us: " + s.leaving
	case removed:
		return "closed by us: restarted"
	case s.fatal.text != "" && !s.fatal.at.Before(s.upAt):
		return s.fatal.text
	default:
		return disconnectWords(st.DisconnectReason, st.DisconnectMessage)
	}
}

// disconnectWords puts GoBGP's reason into words.
func disconnectWords(r api.PeerState_DisconnectReason, detail string) string {
	switch r {
	case api.PeerState_DISCONNECT_REASON_ADMIN_DOWN:
		return "closed by us: administratively down"
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		return "hold timer expired"
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT:
		return "sent NOTIFICATION: " + strings.TrimPrefix(detail, "notification-sent ")
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED:
		return "received NOTIFICATION: " + strings.TrimPrefix(detail, "notification-received ")
	case api.PeerState_DISCONNECT_REASON_HARD_RESET:
		return "received NOTIFICATION: hard reset"
	case api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART:
		return "connection closed by the peer"
	case api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		return "connection lost while sending"
	default:
		return detail
	}
}

// stateName is the name RFC 4271 section 8.2.2 gives a state.
func stateName(s bgp.FSMState) string {
	switch s {
	case bgp.BGP_FSM_IDLE:
		return "Idle"
	case bgp.BGP_FSM_CONNECT:
		return "Connect"
	case bgp.BGP_FSM_ACTIVE:
		return "Active"
	case bgp.BGP_FSM_OPENSENT:
		return "OpenSent"
	case bgp.BGP_FSM_OPENCONFIRM:
		return "OpenConfirm"
	case bgp.BGP_FSM_ESTABLISHED:
		return "Established"
	default:
		return "unknown"
	}
}
