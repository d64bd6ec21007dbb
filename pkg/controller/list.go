package controller

// list is a doubly linked list whose nodes are part of what they link, so that
// anything leaves it in constant time and nothing is allocated for it.
type list[T any] struct{ first, last *node[T] }

// node is the place in one list of what it is part of.
type node[T any] struct {
	of         *T
	prev, next *node[T]
}

func (l *list[T]) push(n *node[T]) {
	n.prev, n.next = l.last, nil
	if l.last == nil {
		l.first = n
	} else {
		l.last.next = n
	}
	l.last = n
}

func (l *list[T]) remove(n *node[T]) {
	if n.prev == nil {
		l.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next = nil, nil
}
