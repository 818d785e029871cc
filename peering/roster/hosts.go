package roster

import "strings"

// hosts reads lines as hosts(5) has them: ADDRESS [NAME [ALIAS...]], a comment from # to the end.
func (p *parser) hosts(lines []line) {
	for _, l := range lines {
		if p.full() {
			return
		}
		text, _, _ := strings.Cut(l.text, "#")
		words := strings.Fields(text)
		name := ""
		if len(words) > 1 {
			name = words[1]
		}
		p.add(l, words[0], name)
	}
}
