package doctor

import (
	"fmt"

	"routed/config"
)

const tableMain = config.TableMain

// checkTable looks at the table of the mesh: whether it holds routes of ours, and whether they have company.
func checkTable(h Host) []Check {
	const name = "table"
	if h.Table.Err != nil {
		return []Check{unknown(name, h.Table.Err, fmt.Sprintf("look at it with `ip route show table %d`", h.Owned.Table))}
	}
	table := h.Table.Value
	var checks []Check
	if len(table.Own) == 0 {
		checks = append(checks, Check{
			Name: name, Result: Warning, Why: fmt.Sprintf("table %d holds no route of the mesh", h.Owned.Table),
			Fix: "see `routed status` for what is missing; without a daemon: systemctl start routed",
		})
	}
	if n := len(table.Foreign); n > 0 && h.Owned.Table != tableMain {
		checks = append(checks, Check{
			Name: name, Result: Warning,
			Why: fmt.Sprintf("table %d is not routed's alone: it holds %d other routes, such as %s", h.Owned.Table, n, table.Foreign[0]),
			Fix: "give routed a table of its own (kernel.table), or remove the others",
		})
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "table %d holds %d routes of the mesh", h.Owned.Table, len(table.Own))}
	}
	return checks
}
