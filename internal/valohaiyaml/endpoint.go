package valohaiyaml

// Endpoint is a service that a deployment runs. It is read and checked; running
// it is not this package's.
type Endpoint struct {
	Name  string
	Image string

	node *node
}

var endpointRule = func() *rule {
	storage := mapOf(nil, map[string]*rule{"min": whole, "max": whole})
	ru := mapOf(need("name", "image"), map[string]*rule{
		"name":           matching(`^[a-z][a-z0-9-]+$`, "lower-case letters, digits and `-`, beginning with a letter"),
		"image":          text,
		"description":    text,
		"port":           {kinds: []Kind{Integer, Float}, min: bound(1025), max: bound(65535)},
		"server-command": textOrList,
		"wsgi":           text,
		"files":          listOf(mapOf(need("name", "path"), map[string]*rule{"name": text, "path": text, "description": text})),
		"node-selector":  matching(`=`, "a label with `=`"),
		"tolerations":    listOf(anything),
		"resources": mapOf(nil, map[string]*rule{
			"cpu": rangeRule, "memory": rangeRule, "devices": devicesRule, "ephemeral-storage": storage,
		}),
	})
	ru.oneOf = []string{"server-command", "wsgi"}
	return ru
}()

// deploymentRule is that of a deployment, whose defaults are open.
var deploymentRule = mapOf(need("name"), map[string]*rule{"name": text, "defaults": openMap})

// Deployment is a place where endpoints run. It is read and checked; running it
// is not this package's.
type Deployment struct {
	Name string

	node *node
}

func deploymentOf(n *node) *Deployment {
	return &Deployment{Name: n.get("name").text(), node: n}
}

// lint tells what does not make sense in a deployment.
func (d *Deployment) lint(r *report) {
	if !d.node.get("defaults").has("target") {
		r.add(Warning, Lint, d.node, "deployment_target", "the deployment %s has no default target", quote(d.Name)).
			mend("Give it `defaults` with a `target`.")
	}
}

func endpointOf(n *node) *Endpoint {
	return &Endpoint{Name: n.get("name").text(), Image: n.get("image").text(), node: n}
}
