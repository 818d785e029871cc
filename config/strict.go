package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder fills the raw structs from the syntax tree and gathers what does not fit.
type decoder struct {
	src    *source
	errs   []*Error
	places map[string]place // of every scalar
}

// parseYAML gives the root of the only document in the file; nil when that is empty. at is what an error is about.
func parseYAML(src *source, at place, data []byte, opts ...parser.Option) (ast.Node, *Error) {
	file, err := parser.ParseBytes(data, 0, opts...)
	if err != nil {
		return nil, syntaxError(src, at, err)
	}
	var root ast.Node
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			return nil, src.errorAt(position(at, doc.Body), "a second YAML document; one file is one configuration")
		}
		if i == 0 {
			root = doc.Body
		}
	}
	return root, nil
}

// syntaxError puts an error of the YAML library, which includes a repeated key, into our form.
func syntaxError(src *source, at place, err error) *Error {
	var located yaml.Error
	if !errors.As(err, &located) || located.GetToken() == nil || located.GetToken().Position == nil {
		return src.errorAt(at, "not YAML: %v", err)
	}
	pos := located.GetToken().Position
	return src.errorAt(at.at(pos.Line, pos.Column), "%s", located.GetMessage())
}

// position is p at the place of a node.
func position(p place, n ast.Node) place {
	if m, ok := n.(ast.MapNode); ok { // its own token is the first colon
		if iter := m.MapRange(); iter.Next() {
			n = iter.Key()
		}
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return p
	}
	return p.at(n.GetToken().Position.Line, n.GetToken().Position.Column)
}

func (d *decoder) fail(p place, format string, args ...any) {
	d.errs = append(d.errs, d.src.errorAt(p, format, args...))
}

// fill sets dst from node; a nil node is an absent value. at is where dst's key stands.
func (d *decoder) fill(dst reflect.Value, node ast.Node, at place) {
	node, ok := d.plain(node, at)
	if !ok {
		return
	}
	switch v := dst.Addr().Interface().(type) {
	case *scalar:
		d.scalar(v, node, at)
		return
	case *list:
		d.list(v, node, at)
		return
	case *oneOrMany:
		if _, isSequence := node.(*ast.SequenceNode); isSequence || node == nil {
			d.list(&v.list, node, at)
			return
		}
		v.place, v.items = position(at, node), make([]scalar, 1)
		d.scalar(&v.items[0], node, at)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		d.mapping(dst, node, at)
	case reflect.Slice:
		d.sequence(dst, node, at)
	case reflect.Pointer: // nil when absent
		if node != nil {
			dst.Set(reflect.New(dst.Type().Elem()))
			d.mapping(dst.Elem(), node, at)
		}
	default: // there are no others in the raw structs; TestRawStructs
	}
}

// plain refuses what makes one line of the file stand for several values, and gives nil for null.
func (d *decoder) plain(node ast.Node, at place) (ast.Node, bool) {
	switch node.(type) {
	case nil, *ast.NullNode:
		return nil, true
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.fail(position(at, node), "anchors, aliases and tags are not supported; write the value itself")
		return nil, false
	default:
		return node, true
	}
}

// describe says what a node is, without its value, which may be a secret.
func describe(node ast.Node) string {
	switch node.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return "text"
	case *ast.LiteralNode:
		return "block text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "a boolean"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	default:
		return "something else"
	}
}

func (d *decoder) scalar(dst *scalar, node ast.Node, at place) {
	dst.place = at
	switch n := node.(type) {
	case nil:
	case *ast.StringNode:
		dst.kind, dst.text = kindText, n.Value
	case *ast.IntegerNode:
		dst.kind, dst.text = kindNumber, n.GetToken().Value
	case *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		dst.kind, dst.text = kindOther, n.GetToken().Value
	default:
		d.fail(position(at, node), "want a single value, found %s", describe(node))
	}
	if !dst.absent() {
		dst.place = position(at, node)
		d.places[at.key] = dst.place
	}
}

func (d *decoder) list(dst *list, node ast.Node, at place) {
	dst.place = at
	for i, item := range d.items(node, at) {
		itemAt := position(at, item)
		itemAt.key = fmt.Sprintf("%s[%d]", at.key, i)
		var s scalar
		if plain, ok := d.plain(item, itemAt); ok && plain == nil {
			d.fail(itemAt, "want a value, found nothing")
		} else if ok {
			d.scalar(&s, plain, itemAt)
		}
		if !s.absent() {
			dst.items = append(dst.items, s)
		}
	}
}

// items gives the elements of a sequence; none when it is absent or not a sequence, which is an error.
func (d *decoder) items(node ast.Node, at place) []ast.Node {
	if node == nil {
		return nil
	}
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fail(position(at, node), "want a list, found %s", describe(node))
		return nil
	}
	return seq.Values
}

func (d *decoder) sequence(dst reflect.Value, node ast.Node, at place) {
	items := d.items(node, at)
	dst.Set(reflect.MakeSlice(dst.Type(), len(items), len(items)))
	for i, item := range items {
		itemAt := position(at, item)
		itemAt.key = fmt.Sprintf("%s[%d]", at.key, i)
		if _, isNull := item.(*ast.NullNode); isNull || item == nil {
			d.fail(itemAt, "want a mapping, found nothing")
			continue
		}
		d.fill(dst.Index(i), item, itemAt)
	}
}

// placed is every raw struct.
type placed interface{ setPlace(at place) }

func (d *decoder) mapping(dst reflect.Value, node ast.Node, at place) {
	if p, ok := dst.Addr().Interface().(placed); ok {
		p.setPlace(at)
	}
	values := d.entries(dst.Type(), node, at)
	for i := range dst.NumField() {
		key, ok := dst.Type().Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		fieldAt := at.child(key)
		entry, present := values[key]
		if present {
			fieldAt = position(fieldAt, entry.key)
		}
		d.fill(dst.Field(i), entry.value, fieldAt)
	}
}

// entry is one key of a mapping and its value.
type entry struct{ key, value ast.Node }

// entries gives the entries of a mapping that the struct has a field for, and refuses all others.
func (d *decoder) entries(of reflect.Type, node ast.Node, at place) map[string]entry {
	if node == nil {
		return nil
	}
	m, ok := node.(ast.MapNode)
	if !ok {
		d.fail(position(at, node), "want a mapping, found %s", describe(node))
		return nil
	}
	known := keysOf(of)
	values := make(map[string]entry)
	for iter := m.MapRange(); iter.Next(); {
		name, ok := iter.Key().(*ast.StringNode)
		if !ok {
			d.fail(position(at, iter.Key()), "a key must be a plain word")
			continue
		}
		if !slices.Contains(known, name.Value) {
			d.unknown(known, name, at)
			continue
		}
		values[name.Value] = entry{key: name, value: iter.Value()}
	}
	return values
}

func (d *decoder) unknown(keys []string, name *ast.StringNode, at place) {
	where := "at the top"
	if at.key != "" {
		where = "in " + at.key
	}
	d.fail(position(place{}, name), "unknown key %q %s; there are: %s", name.Value, where, strings.Join(keys, ", "))
}

// keysOf gives the keys of a raw struct.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key, ok := t.Field(i).Tag.Lookup("yaml"); ok {
			keys = append(keys, key)
		}
	}
	return keys
}
