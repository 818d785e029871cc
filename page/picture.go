package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"routed/admin"
)

// What the picture shows at most.
const (
	clustersDrawn = 24   // remote clusters, the worst first
	rowsDrawn     = 12   // nodes of a cluster that each get a row and a line of their own
	chipsDrawn    = 16   // nodes of a larger cluster that are not up, by name
	chipsAtAll    = 64   // of all clusters
	cellsAtAll    = 1000 // nodes of larger clusters without a name, of all clusters
	birdsDrawn    = 4    // sessions with the local BIRD
)

// picture is the mesh as an SVG: this node on the left, the remote clusters below each other on the right. It is drawn in
// units of one pixel at the width of the page.
type picture struct {
	Width, Height int
	Title, Desc   string
	This          thisNode
	BIRD          []session
	Lines         []line
	Clusters      []group
	MoreClusters  int
	MoreY         int
	More          bool // some node is not drawn
}

// thisNode is the node whose page it is.
type thisNode struct {
	Y, Height int
	Addresses []textAt
	Cluster   string
	Blocks    string
}

// textAt is text at a height.
type textAt struct {
	Y    int
	Text string
}

// session is one with the local BIRD.
type session struct {
	Y         int
	Above     int // to what stands above it
	Condition condition
	Address   string
	State     string
	Title     string
}

// line leads from this node to a remote one, or to a cluster.
type line struct {
	Class string // a condition; "part": some nodes of the cluster are not up
	Path  string
}

// group is a remote cluster.
type group struct {
	Y, Height int
	Name      string
	Summary   string
	Bar       bar
	Rows      []row
	Chips     []chip
	Cells     []cell
	Left      []textAt // what is not drawn one by one
}

// bar shows how many of the wanted routes are installed.
type bar struct {
	Class string // up, down: some are not; "none": none is wanted
	Width int    // of the installed part
	Rest  int    // of the others, from there on
	From  int
}

// row is a node with its name and address.
type row struct {
	Y                           int
	Condition                   condition
	Name, Address, State, Title string
}

// chip is a node that is not up, by its name.
type chip struct {
	X, Y               int
	Condition          condition
	Name, State, Title string
}

// cell is a node by a sign alone.
type cell struct {
	X, Y      int
	Condition condition
	Title     string
}

// Where things of one piece stand; y is the height of its sign, or its upper edge.

func (t thisNode) LabelY() int   { return t.Y + 24 }
func (t thisNode) ClusterY() int { return t.BlocksY() - 20 }
func (t thisNode) BlocksY() int  { return t.Y + t.Height - 16 }

func (s session) LineY() int    { return s.Y - s.Above }
func (s session) SignY() int    { return s.Y + 22 }
func (s session) NameY() int    { return s.Y + 19 }
func (s session) AddressY() int { return s.Y + 36 }

func (g group) NameY() int { return g.Y + 26 }
func (g group) BarY() int  { return g.Y + 38 }

func (r row) TextY() int { return r.Y + 5 }

func (c chip) SignX() int { return c.X + 10 }
func (c chip) TextX() int { return c.X + 28 }
func (c chip) TextY() int { return c.Y + 5 }

// Sizes and places.
const (
	width        = 960
	thisWidth    = 216
	groupX       = 312
	groupGap     = 18
	headSpace    = 56 // of a group, above its nodes
	footSpace    = 12
	barWidth     = width - groupX - 2*inset
	inset        = 16
	rowSpace     = 32
	chipSpace    = 30
	chipsPer     = 2
	cellSpace    = 16
	cellsPer     = barWidth / cellSpace
	leftSpace    = 24 // a line about what is not drawn
	cardGap      = 28 // between this node and its BIRD
	cardHeight   = 44 // of a session with BIRD
	cardSpace    = 56 // of one after another
	addressSpace = 19
	tall         = 520 // a picture, in which this node does not stand in the middle
)

// draw makes the picture.
func draw(s admin.Status, nodes map[string][]node, bird []admin.Peer) picture {
	p := picture{Width: width, Title: "The mesh as this node sees it", Desc: describe(s, nodes)}
	clusters := worstFirst(s.Clusters)
	if len(clusters) > clustersDrawn {
		p.MoreClusters = len(clusters) - clustersDrawn
		clusters = clusters[:clustersDrawn]
	}
	budget := budget{chips: chipsAtAll, cells: cellsAtAll}
	for _, c := range clusters {
		budget.later += len(nodes[c.Name])
	}
	y := 1
	for i, c := range clusters {
		g := budget.drawGroup(s.At, c, nodes[c.Name], len(clusters)-i, y)
		p.Clusters = append(p.Clusters, g)
		p.More = p.More || len(g.Left) > 0
		y += g.Height + groupGap
	}
	p.Height = y - groupGap + 1
	if p.MoreClusters > 0 {
		p.MoreY = y + 8
		p.Height = y + 2*groupGap
	}
	p.drawThis(s, bird)
	for i, c := range clusters {
		p.addLines(c, p.Clusters[i])
	}
	return p
}

// drawThis puts this node and its BIRD in the middle of the height, or near the top of a tall picture.
func (p *picture) drawThis(s admin.Status, bird []admin.Peer) {
	var lines []string
	for _, a := range addressesOf(s.Node) {
		lines = append(lines, fold(a)...)
	}
	p.This = thisNode{Height: 86 + addressSpace*len(lines), Cluster: clip(s.Node.Cluster, 26), Blocks: ownBlocks(s.Mesh)}
	bird, _ = first(bird, birdsDrawn)
	all := p.This.Height
	if len(bird) > 0 {
		all += cardGap - cardSpace + cardHeight + cardSpace*len(bird)
	}
	p.Height = max(p.Height, all+2)
	p.This.Y = max(1, (min(p.Height, tall)-all)/2)
	for i, text := range lines {
		p.This.Addresses = append(p.This.Addresses, textAt{p.This.LabelY() + 22 + addressSpace*i, text})
	}
	for i, b := range bird {
		above := cardGap
		if i > 0 {
			above = cardSpace - cardHeight
		}
		p.BIRD = append(p.BIRD, session{
			Y: p.This.Y + p.This.Height + cardGap + cardSpace*i, Above: above, Condition: conditionOf(b), Address: b.Address.String(),
			State: nodeOf(b).state(s.At), Title: "BIRD " + nodeOf(b).title(s.At),
		})
	}
}

// fold breaks an address that is too long for a line behind a colon near its middle.
func fold(address string) []string {
	const fits = 24
	if len(address) <= fits {
		return []string{address}
	}
	at := strings.LastIndex(address[:len(address)/2+2], ":") + 1
	return []string{address[:at], address[at:]}
}

// middle is where the lines begin.
func (p *picture) middle() int { return p.This.Y + p.This.Height/2 }

// addLines leads to each row of a group, or to the group.
func (p *picture) addLines(c admin.Cluster, g group) {
	curve := func(class string, toX, toY int) {
		bend := (toX - thisWidth) / 2
		p.Lines = append(p.Lines, line{class, fmt.Sprintf("M%d %dC%d %d %d %d %d %d",
			thisWidth, p.middle(), thisWidth+bend, p.middle(), toX-bend, toY, toX, toY)})
	}
	for _, r := range g.Rows {
		curve(string(r.Condition), groupX+inset, r.Y)
	}
	if len(g.Rows) == 0 {
		curve(reach(c), groupX, g.Y+min(28, g.Height/2))
	}
}

// reach is the class of the line to a cluster as a whole.
func reach(c admin.Cluster) string {
	switch {
	case c.NodesUp == 0:
		return string(down)
	case c.NodesUp < c.NodesKnown:
		return "part"
	default:
		return string(up)
	}
}

// budget is how many nodes may still be drawn, and how many there are in the clusters that are still to come.
type budget struct{ chips, cells, later int }

// drawGroup draws one cluster, the first of so many that are still to come.
func (b *budget) drawGroup(now time.Time, c admin.Cluster, nodes []node, clusters, y int) group {
	g := group{Y: y, Name: clip(c.Name, 32), Summary: summary(c), Bar: barOf(c.RouteSum())}
	y += headSpace
	b.later -= len(nodes)
	switch {
	case c.NodesKnown == 0:
		g.Left = append(g.Left, textAt{y + 12, "no node of it is known"})
		y += leftSpace
	case len(nodes) <= rowsDrawn:
		for _, n := range nodes {
			g.Rows = append(g.Rows, rowOf(now, n, y+rowSpace/2))
			y += rowSpace
		}
	default:
		y = b.drawField(now, &g, nodes, clusters, y)
	}
	g.Height = y + footSpace - g.Y
	return g
}

// drawField draws many nodes: those that are not up by name, the others as cells.
func (b *budget) drawField(now time.Time, g *group, nodes []node, clusters, y int) int {
	named := min(troubled(nodes), chipsDrawn, b.chips)
	for i, n := range nodes[:named] {
		g.Chips = append(g.Chips, chip{
			X: groupX + inset + i%chipsPer*(barWidth/chipsPer), Y: y + i/chipsPer*chipSpace + chipSpace/2,
			Condition: n.Condition, Name: clip(n.Name, 22), State: n.state(now), Title: n.title(now),
		})
	}
	b.chips -= named
	if named > 0 {
		y += (named+chipsPer-1)/chipsPer*chipSpace + 6
	}
	rest := nodes[named:]
	drawn := min(len(rest), max(b.cells/clusters, b.cells-b.later))
	for i, n := range rest[:drawn] {
		g.Cells = append(g.Cells, cell{
			X: groupX + inset + cellSpace/2 + i%cellsPer*cellSpace, Y: y + cellSpace/2 + i/cellsPer*cellSpace,
			Condition: n.Condition, Title: n.brief(now),
		})
	}
	b.cells -= drawn
	y += (drawn + cellsPer - 1) / cellsPer * cellSpace
	if left := rest[drawn:]; len(left) > 0 {
		g.Left = append(g.Left, textAt{y + 18, "and " + tally(left)})
		y += leftSpace
	}
	return y
}

func troubled(nodes []node) int {
	n := slices.IndexFunc(nodes, func(n node) bool { return n.Condition == up })
	if n < 0 {
		return len(nodes)
	}
	return n
}

// tally is "3 more down, 9,000 more up".
func tally(nodes []node) string {
	count := map[condition]int{}
	for _, n := range nodes {
		count[n.Condition]++
	}
	words := map[condition]string{down: "down", kept: "down with their blocks kept", refused: "up with refused blocks", up: "up"}
	var parts []string
	for _, c := range conditions() {
		if count[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d more %s", count[c], words[c]))
		}
	}
	return strings.Join(parts, ", ")
}

func rowOf(now time.Time, n node, y int) row {
	r := row{
		Y: y, Condition: n.Condition, Name: clip(n.Name, 26), State: n.holds() + " · " + n.state(now), Title: n.title(now),
	}
	if a := n.address(); a != n.Name {
		r.Address = a
	}
	return r
}

// worstFirst orders clusters: without any node up, with some down or routes missing, the others; each by name.
func worstFirst(clusters []admin.Cluster) []admin.Cluster {
	rank := func(c admin.Cluster) int {
		sum := c.RouteSum()
		switch {
		case c.NodesUp == 0:
			return 0
		case c.NodesUp < c.NodesKnown || sum.Installed < sum.Wanted:
			return 1
		default:
			return 2
		}
	}
	return slices.SortedStableFunc(slices.Values(clusters), func(a, b admin.Cluster) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a.Name, b.Name))
	})
}

// summary is "2/3 nodes up · 3 blocks · 3/3 routes installed".
func summary(c admin.Cluster) string {
	who := "nodes"
	if c.Reflected {
		who = "reflectors"
	}
	blocks, routes := c.BlockSum(), c.RouteSum()
	text := fmt.Sprintf("%d/%d %s up · %s", c.NodesUp, c.NodesKnown, who, plural(blocks.Total(), "block"))
	if blocks.Stale > 0 {
		text += fmt.Sprintf(" (%d stale)", blocks.Stale)
	}
	return text + fmt.Sprintf(" · %d/%d routes installed", routes.Installed, routes.Wanted)
}

func barOf(r admin.RouteCount) bar {
	switch {
	case r.Wanted == 0:
		return bar{Class: "none"}
	case r.Installed >= r.Wanted:
		return bar{Class: string(up), Width: barWidth}
	default: // one missing route of many is to be seen too
		installed := min(barWidth*r.Installed/r.Wanted, barWidth-inset)
		return bar{Class: string(down), Width: installed, From: groupX + inset + installed, Rest: barWidth - installed}
	}
}

func ownBlocks(m admin.Mesh) string {
	if !m.OwnKnown {
		return "own blocks not known yet"
	}
	return "own blocks: " + strconv.Itoa(len(m.OwnBlocks))
}

func addressesOf(n admin.Node) []string {
	var out []string
	if n.Address.IsValid() {
		out = append(out, n.Address.String())
	}
	if n.Address6.IsValid() {
		out = append(out, n.Address6.String())
	}
	return out
}

// describe says in words what the picture shows, for those who do not see it.
func describe(s admin.Status, nodes map[string][]node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This node is %s of cluster %s.", strings.Join(addressesOf(s.Node), ", "), s.Node.Cluster)
	for i, c := range worstFirst(s.Clusters) {
		if i == clustersDrawn {
			fmt.Fprintf(&b, " And %d more clusters.", len(s.Clusters)-clustersDrawn)
			break
		}
		fmt.Fprintf(&b, " Cluster %s: %s.", clip(c.Name, nameLength), strings.ReplaceAll(summary(c), " · ", ", "))
		if all := nodes[c.Name]; troubled(all) > 0 {
			var names []string
			for _, n := range all[:min(troubled(all), chipsDrawn)] {
				names = append(names, clip(n.Name, nameLength)+" "+n.state(s.At))
			}
			if more := troubled(all) - len(names); more > 0 {
				names = append(names, fmt.Sprintf("and %d more", more))
			}
			fmt.Fprintf(&b, " Not as it should be: %s.", strings.Join(names, ", "))
		}
	}
	return b.String()
}
