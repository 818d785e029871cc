package guard

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// This file translates between our instructions and those of the library, one to one. What our rules do not use becomes
// opForeign, which equals nothing that is wanted. The library drops some expressions that it does not know; a rule that
// somebody slipped one into is told by its handle, see found.

const register = unix.NFT_REG_1

// payload is where in a packet a field lies.
type payload struct {
	base        expr.PayloadBase
	offset, len uint32
}

// payloads are the offsets of RFC 791, RFC 8200 and RFC 9293.
func payloads() map[source]payload {
	const network, transport = expr.PayloadBaseNetworkHeader, expr.PayloadBaseTransportHeader
	return map[source]payload{
		srcTTL:             {network, 8, 1},
		srcSource4:         {network, 12, 4},
		srcDestination4:    {network, 16, 4},
		srcHopLimit:        {network, 7, 1},
		srcSource6:         {network, 8, 16},
		srcDestination6:    {network, 24, 16},
		srcSourcePort:      {transport, 0, 2},
		srcDestinationPort: {transport, 2, 2},
		srcTCPFlags:        {transport, 13, 1},
	}
}

func metas() map[source]expr.MetaKey {
	return map[source]expr.MetaKey{
		srcInputInterface: expr.MetaKeyIIF, srcFamily: expr.MetaKeyNFPROTO, srcProtocol: expr.MetaKeyL4PROTO,
	}
}

// encode writes a program of ours as the kernel takes it.
func encode(program []instruction) []expr.Any {
	out := make([]expr.Any, 0, len(program))
	for _, i := range program {
		out = append(out, i.encode())
	}
	return out
}

func (i instruction) encode() expr.Any {
	compare := func(op expr.CmpOp) expr.Any {
		return &expr.Cmp{Op: op, Register: register, Data: []byte(i.data)}
	}
	switch i.op {
	case opLoad:
		return i.source.encode()
	case opMask:
		n := len(i.data)
		return &expr.Bitwise{
			SourceRegister: register, DestRegister: register, Len: uint32(n), Mask: []byte(i.data), Xor: make([]byte, n),
		}
	case opEqual:
		return compare(expr.CmpOpEq)
	case opLess:
		return compare(expr.CmpOpLt)
	case opAtLeast:
		return compare(expr.CmpOpGte)
	case opLookup:
		return &expr.Lookup{SourceRegister: register, SetName: i.name}
	case opCount:
		return &expr.Counter{}
	case opGoto:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: i.name}
	case opAccept:
		return &expr.Verdict{Kind: expr.VerdictAccept}
	default: // whatever else there may be, the safe side
		return &expr.Verdict{Kind: expr.VerdictDrop}
	}
}

func (s source) encode() expr.Any {
	if p, ok := payloads()[s]; ok {
		return &expr.Payload{DestRegister: register, Base: p.base, Offset: p.offset, Len: p.len}
	}
	return &expr.Meta{Key: metas()[s], Register: register}
}

// decode reads a rule of the kernel's.
func decode(exprs []expr.Any) []instruction {
	out := make([]instruction, 0, len(exprs))
	for _, e := range exprs {
		out = append(out, decodeOne(e))
	}
	return out
}

func decodeOne(e expr.Any) instruction {
	switch e := e.(type) {
	case *expr.Meta:
		return decodeMeta(e)
	case *expr.Payload:
		return decodePayload(e)
	case *expr.Bitwise:
		return decodeBitwise(e)
	case *expr.Cmp:
		return decodeCmp(e)
	case *expr.Lookup:
		if e.SourceRegister == register && !e.Invert && !e.IsDestRegSet {
			return instruction{op: opLookup, name: e.SetName}
		}
	case *expr.Counter:
		return instruction{op: opCount}
	case *expr.Verdict:
		return decodeVerdict(e)
	}
	return instruction{}
}

func decodeMeta(e *expr.Meta) instruction {
	for s, key := range metas() {
		if key == e.Key && e.Register == register && !e.SourceRegister {
			return load(s)
		}
	}
	return instruction{}
}

func decodePayload(e *expr.Payload) instruction {
	for s, p := range payloads() {
		if *e == (expr.Payload{DestRegister: register, Base: p.base, Offset: p.offset, Len: p.len}) {
			return load(s)
		}
	}
	return instruction{}
}

func decodeBitwise(e *expr.Bitwise) instruction {
	for _, b := range e.Xor {
		if b != 0 {
			return instruction{}
		}
	}
	if e.SourceRegister != register || e.DestRegister != register || int(e.Len) != len(e.Mask) {
		return instruction{}
	}
	return instruction{op: opMask, data: string(e.Mask)}
}

func decodeCmp(e *expr.Cmp) instruction {
	i := instruction{data: string(e.Data)}
	if e.Register != register {
		return instruction{}
	}
	switch e.Op {
	case expr.CmpOpEq:
		i.op = opEqual
	case expr.CmpOpLt:
		i.op = opLess
	case expr.CmpOpGte:
		i.op = opAtLeast
	default:
		return instruction{}
	}
	return i
}

func decodeVerdict(e *expr.Verdict) instruction {
	switch e.Kind {
	case expr.VerdictAccept:
		return instruction{op: opAccept}
	case expr.VerdictDrop:
		return instruction{op: opDrop}
	case expr.VerdictGoto:
		return instruction{op: opGoto, name: e.Chain}
	default:
		return instruction{}
	}
}
