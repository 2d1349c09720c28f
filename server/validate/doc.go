// Package validate is middleware that lets through only messages that have the right
// shape. It is apart from package server for the library it needs.
//
//	valid, err := validate.JSON(schema, 10)
//	if err != nil {
//		return err
//	}
//	s.Route("/orders", server.Route{Middleware: []server.Middleware{valid}, Message: order})
//
// A handler behind it need not ask whether a field is there. Large schemas may take
// longer than a loop should be kept: list server.Offload before.
package validate
