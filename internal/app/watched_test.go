package app

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v4"
)

// expressions are those of the dashboard and of the alerts, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	text, err := os.ReadFile("../../deploy/grafana/fairlead.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all[panel.Title+": "+target.Expr] = strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if text, err = os.ReadFile("../../deploy/prometheus/alerts.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &alerts); err != nil {
		t.Fatal(err)
	}
	for _, group := range alerts.Groups {
		for _, rule := range group.Rules {
			if all[rule.Alert] = rule.Expr; rule.Annotations["summary"] == "" || rule.Annotations["next"] == "" {
				t.Errorf("%s does not say what is wrong and what to do next", rule.Alert)
			}
		}
	}
	return all
}

var familyRule = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)

func TestTheDashboardAndTheAlertsAskForWhatTheServerTells(t *testing.T) {
	server := open(t, func(c *Config) { c.Cache.URL = "file://" + t.TempDir() })
	expires := server.addExpiring(t)
	fetch(t, server.URL()+"/api/v0/server/")
	_, text := fetch(t, urlOf(server.metrics.listener)+"/metrics")
	told := []string{"up"} // Prometheus's own
	for _, family := range familyRule.FindAllStringSubmatch(text, -1) {
		if told = append(told, family[1]); family[2] == "histogram" {
			told = append(told, family[1]+"_bucket", family[1]+"_count", family[1]+"_sum")
		}
	}
	if !strings.Contains(text, `credential="`+expires+`"`) {
		t.Error("a credential that ends is not told of")
	}
	asked := make(map[string]bool)
	for where, expression := range expressions(t) {
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				if asked[selector.Name] = true; !slices.Contains(told, selector.Name) {
					t.Errorf("%s asks for %s, which the server does not tell", where, selector.Name)
				}
			}
			return nil
		})
	}
	if len(asked) < 20 {
		t.Errorf("only %d metrics are asked for", len(asked))
	}
	// The page tells of each by its name.
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range familyRule.FindAllStringSubmatch(text, -1) {
		name := family[1]
		if strings.HasPrefix(name, "fairlead_") && !strings.HasPrefix(name, "fairlead_cache_") && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/operating.md does not tell of %s", name)
		}
	}
}
