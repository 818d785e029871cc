// Package why follows the way of a packet from this node to one address and says where it ends, and what to do.
//
// [Explain] is a pure function of [Facts]: what the mesh believes, what the kernel has and answers, what the doctor finds.
// Others read those facts, each where they lie; nothing here asks anybody or changes anything.
package why
