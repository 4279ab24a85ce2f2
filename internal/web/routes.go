package web

import "net/http"

// who says who may open a route.
type who int

const (
	anybody  who = iota // also who is not signed in
	user                // who is signed in
	operator            // who runs the installation
)

// handler makes the answer of a request.
type handler func(v *visit) (answer, error)

// routes is every page.
func (s *site) routes() {
	s.mux.HandleFunc("GET /static/{name}", s.serveAsset)
	s.on("GET /alive", anybody, s.alive)

	s.on("GET /{$}", user, s.home)
	s.on("GET /sign-in/{$}", anybody, s.showSignIn)
	s.on("POST /sign-in/{$}", anybody, s.signIn)
	s.on("POST /sign-out/{$}", user, s.signOut)
	s.on("/", anybody, s.missing)

	s.signOnRoutes()
	s.executionRoutes()
	s.registryRoutes()
	s.peopleRoutes()
	s.installationRoutes()
}

// on lays one route.
func (s *site) on(pattern string, who who, handle handler) {
	s.mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		said, err := v.answer(who, handle)
		if err == nil {
			err = said.send(v)
		}
		if err != nil {
			v.fail(err)
		}
	})
}

func (v *visit) answer(who who, handle handler) (answer, error) {
	if err := v.identify(); err != nil {
		return nil, err
	}
	if who != anybody && v.actor.IsZero() {
		return nil, errSignIn
	}
	if who == operator {
		if err := v.actor.MayOperate(); err != nil {
			return nil, err
		}
	}
	return handle(v)
}
