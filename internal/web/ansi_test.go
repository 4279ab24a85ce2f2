package web

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"fairlead.dev/fairlead/internal/wire"
)

func TestALogsColoursBecomeClasses(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                          "plain",
		"\x1b[31mred\x1b[39m not":        `<span class="f1">red</span> not`,
		"\x1b[38;5;196mred":              `<span class="f9">red</span>`,
		"\x1b[38;2;250;5;5mred":          `<span class="f9">red</span>`,
		"\x1b[48;5;4m\x1b[97mon blue":    `<span class="f15 b4">on blue</span>`,
		"\x1b[1;4mstrong\x1b[22;24mnot":  `<span class="bo un">strong</span>not`,
		"10%\r50%\r100%\r":               "100%",
		"\x1b[2Jgone":                    `<span class="esc">\x1b</span>[2Jgone`,
		"\u202eevil":                     `<span class="esc">\u202e</span>evil`,
		"<script>":                       "&lt;script&gt;",
		"\x1b[38;5m\x1b[999999999999mok": `<span class="f0">ok</span>`,
	} {
		if got, _ := appendText(nil, text, look{}); string(got) != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func FuzzALineOfALogIsTextAndSpansAlone(f *testing.F) {
	f.Add("\x1b[1;31mred\x1b[0m <b>")
	f.Add("\x1b[38;2;1;2;3m\xff\xfe")
	f.Add("a\rb\x1b]8;;http://x\x07")
	f.Fuzz(func(t *testing.T, text string) {
		got, _ := appendText(nil, text, look{})
		root, err := html.ParseFragment(strings.NewReader(string(got)), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
		if err != nil {
			t.Fatal(err)
		}
		for _, top := range root {
			check(t, top)
			for node := range top.Descendants() {
				check(t, node)
			}
		}
	})
}

func check(t *testing.T, node *html.Node) {
	t.Helper()
	switch {
	case node.Type == html.TextNode:
		for _, r := range node.Data {
			if wire.IsHarmful(r) && r != '\n' && r != '\r' {
				t.Errorf("%q came through", r)
			}
		}
	case node.Type == html.ElementNode && node.Data == "span" && len(node.Attr) == 1 && node.Attr[0].Key == "class":
	default:
		t.Errorf("a %v %s %v", node.Type, node.Data, node.Attr)
	}
}
