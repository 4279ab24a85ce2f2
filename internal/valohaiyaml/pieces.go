package valohaiyaml

import (
	"bytes"
	"runtime"
	"sync"

	"go.yaml.in/yaml/v4"
)

// leastPiece is how many bytes are worth reading beside others.
const leastPiece = 64 << 10

// pieceCount is in how many pieces so many bytes are read.
func pieceCount(size int) int { return min(size/leastPiece, runtime.GOMAXPROCS(0)) }

// loadPieces reads data as one list in so many pieces at the same time, each of
// some items: reading YAML is most of the work, and a file of steps is one long
// list. It gives what loadWhole gives if that has nothing to report, and nil
// where it is not sure: what there is to say about a file is for loadWhole.
func loadPieces(data []byte, count int) *node {
	starts := cuts(data, count)
	if len(starts) < 2 {
		return nil
	}
	pieces := make([]piece, len(starts))
	var group sync.WaitGroup
	for i, start := range starts {
		end := len(data)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		group.Go(func() { pieces[i] = loadPiece(data[start:end], bytes.Count(data[:start], lineFeed)) })
	}
	group.Wait()
	whole := piece{root: pieces[0].root}
	for i, p := range pieces {
		if p.root == nil {
			return nil
		}
		whole.nodes += p.nodes
		whole.text += p.text
		if i == 0 {
			continue
		}
		whole.nodes-- // its list is no other one
		for _, item := range p.root.list() {
			item.parent, item.index = whole.root, len(whole.root.list())
			whole.root.inside.items = append(whole.root.inside.items, item)
		}
	}
	if whole.nodes > maxNodes || whole.text > maxText {
		return nil
	}
	return whole.root
}

// piece is what some items of a list make; root is nil where that is not sure.
type piece struct {
	root        *node
	nodes, text int
}

// loadPiece reads a piece that has so many lines above it.
func loadPiece(data []byte, above int) piece {
	document, second, err := read(data)
	if err != nil || second != nil || !isPlainList(document) {
		return piece{}
	}
	c := composer{report: &report{}, above: above}
	root := c.compose(document.Content[0], nil)
	if c.failed || len(c.report.findings) > 0 {
		return piece{}
	}
	return piece{root: root, nodes: c.nodes, text: c.text}
}

var lineFeed = []byte("\n")

// unsure are texts that make what stands behind them mean something else than it
// would alone, or lines be counted otherwise than by their line feeds: directives
// and marks of documents, and the other line breaks of YAML 1.1.
var unsure = [][]byte{[]byte("\n%"), []byte("\n---"), []byte("\n..."), []byte("\u0085"), []byte("\u2028"), []byte("\u2029")}

// isSure reports whether data can be read in pieces at all.
func isSure(data []byte) bool {
	for _, text := range unsure {
		if bytes.Contains(data, text) {
			return false
		}
	}
	return !bytes.HasPrefix(data, []byte("%")) && bytes.Count(data, []byte("\r")) == bytes.Count(data, []byte("\r\n"))
}

// cuts are where pieces of about the same size begin, each but the first at a
// line that begins an item of a list that is not indented. Nothing that began
// before such a line goes on in it but a text between quotes or something in
// brackets, and a piece that ends within one of those is no YAML. An alias of
// another piece's anchor is none either.
func cuts(data []byte, count int) []int {
	if count < 2 || !isSure(data) {
		return nil
	}
	starts := []int{0}
	for i := 1; i < count; i++ {
		from := max(i*len(data)/count, starts[len(starts)-1])
		at := bytes.Index(data[from:], []byte("\n- "))
		if at < 0 {
			break
		}
		starts = append(starts, from+at+1)
	}
	return starts
}

// isPlainList reports whether a document is a list at the begin of its lines,
// one item a line, and nothing else: an anchor or a tag of the whole list is not
// a piece's.
func isPlainList(document *yaml.Node) bool {
	list := document.Content[0]
	return list.Kind == yaml.SequenceNode && list.Style == 0 && list.Anchor == "" && list.Column == 1
}
