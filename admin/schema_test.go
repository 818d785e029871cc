package admin

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Every field of the schema is on the reference page, is snake_case, and keeps to the rules for times and durations.
func TestSchemaIsDocumented(t *testing.T) {
	page := readDoc(t)
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			walk(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] || typ.PkgPath() != reflect.TypeFor[Status]().PkgPath() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			key, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			where := typ.Name() + "." + f.Name
			if !name.MatchString(key) {
				t.Errorf("%s: key %q is not snake_case", where, key)
			}
			if !strings.Contains(page, "`"+key+"`") {
				t.Errorf("%s: docs/admin-api.md does not speak of `%s`", where, key)
			}
			if f.Type == reflect.TypeFor[time.Duration]() {
				t.Errorf("%s: durations are seconds", where)
			}
			if f.Type.Kind() == reflect.Float64 && !strings.HasSuffix(key, "_seconds") {
				t.Errorf("%s: %q does not name its unit", where, key)
			}
			if f.Type.Kind() == reflect.Slice && option != "" {
				t.Errorf("%s: a list is always there", where)
			}
			walk(f.Type)
		}
	}
	for _, root := range []any{Status{}, Peers{}, Routes{}, Why{}, ErrorReply{}} {
		walk(reflect.TypeOf(root))
	}
	if len(seen) < 15 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
