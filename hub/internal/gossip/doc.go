// Package gossip is how nodes tell each other which users are in which topics. It is pure: what
// happens here, what comes from others and the time go in; what is to be sent and what changes
// come out. The links may lose, repeat and reorder; what was lost is asked for again.
//
// A node's users in a topic are its share of the topic. A share has a version, which every change
// gives a new number. Nodes with users in a topic tell each other their changes, each with the
// versions it leads from and to, so that a gap is seen. Once a second every node tells all others
// which versions it knows of which shares (a beat, with about a thousand topics in turn): the
// node that knows better of its own share answers with all of it. That one question does for a
// topic's first members, for lost changes, and for halves of a cluster that find each other again.
//
// A share is told by names, or, in a topic of more than View.MaxNames users, only by how many there
// are, once a second. A node that says nothing for a while is gone, and its shares with it.
//
//	v.Came(t, "alice")                       // a user of ours
//	for to, b, ok := v.Next(); ok; ... {}    // tells the others
//	for _, c := range v.Hear(&message, part) { // what others tell
//		e := v.Effect(&c)                // what it means for the topic's members
//		v.Apply(&c)
//	}
//
// A View belongs to the holder of a lock. Changes are applied one by one, in the order in which
// they were returned, and before the next Hear or Leave; all other methods may be called between.
package gossip
