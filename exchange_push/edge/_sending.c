/* send_each of sending.py, compiled: the same outcome without the interpreter between two sockets. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef IOV_MAX
#define IOV_MAX 1024
#endif

struct chain {
    struct iovec *pieces;
    Py_ssize_t count, size;
    char *joined; /* where several get it */
};

struct target {
    PyObject *member;
    int socket;
    struct chain *chain;
    Py_ssize_t taken;
};

/* As much as the socket takes at once; 0 where it is broken, too. */
static Py_ssize_t send_chain(int socket, const struct chain *chain)
{
    Py_ssize_t taken = 0;
    for (Py_ssize_t i = 0; i < chain->count; i += IOV_MAX) {
        struct msghdr message = {.msg_iov = chain->pieces + i};
        Py_ssize_t size = 0;
        message.msg_iovlen = chain->count - i < IOV_MAX ? chain->count - i : IOV_MAX;
        for (size_t k = 0; k < message.msg_iovlen; k++)
            size += message.msg_iov[k].iov_len;
        ssize_t sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            taken += sent;
        if (sent != size)
            break;
    }
    return taken;
}

/* For clients that get the same: one buffer, which is cheaper to send than its pieces. */
static int join(struct chain *chain)
{
    if (chain->count < 2 || chain->joined)
        return 0;
    char *end = chain->joined = PyMem_Malloc(chain->size ? chain->size : 1);
    if (!end) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < chain->count; i++) {
        memcpy(end, chain->pieces[i].iov_base, chain->pieces[i].iov_len);
        end += chain->pieces[i].iov_len;
    }
    chain->pieces[0].iov_base = chain->joined;
    chain->pieces[0].iov_len = chain->size;
    chain->count = 1;
    return 0;
}

static int is_same(PyObject *one, PyObject *other)
{
    if (one == other)
        return 1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(one);
    return count == PySequence_Fast_GET_SIZE(other) &&
           memcmp(PySequence_Fast_ITEMS(one), PySequence_Fast_ITEMS(other), count * sizeof(PyObject *)) == 0;
}

/* The pieces of a chain, written to `pieces`, which has room for them. */
static int read_chain(PyObject *wires, struct chain *chain, struct iovec *pieces)
{
    *chain = (struct chain){.pieces = pieces, .count = PySequence_Fast_GET_SIZE(wires)};
    for (Py_ssize_t i = 0; i < chain->count; i++) {
        char *bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PySequence_Fast_GET_ITEM(wires, i), &bytes, &size) < 0)
            return -1;
        pieces[i] = (struct iovec){bytes, size};
        chain->size += size;
    }
    return 0;
}

/* Who does not take all: [(member, bytes taken), ...]. */
static PyObject *rest_of(const struct target *targets, Py_ssize_t count)
{
    PyObject *rest = PyList_New(0);
    for (Py_ssize_t i = 0; rest && i < count; i++) {
        if (targets[i].taken == targets[i].chain->size)
            continue;
        PyObject *item = Py_BuildValue("(On)", targets[i].member, targets[i].taken);
        if (!item || PyList_Append(rest, item) < 0)
            Py_CLEAR(rest);
        Py_XDECREF(item);
    }
    return rest;
}

/* The socket of a member, -1 where it has none; -2: an error is set. */
static int socket_of(PyObject *sockets, PyObject *member)
{
    PyObject *number = PyDict_GetItemWithError(sockets, member);
    if (!number)
        return PyErr_Occurred() ? -2 : -1;
    long socket = PyLong_AsLong(number);
    if (socket == -1 && PyErr_Occurred())
        return -2;
    if (socket < -1 || socket > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError, "no number of a socket");
        return -2;
    }
    return (int)socket;
}

static PyObject *send_each(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    if (given != 2 || !PyDict_Check(arguments[0]) || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "send_each takes chains and sockets, dicts by member");
        return NULL;
    }
    PyObject *wires = arguments[0], *member, *wire, *before = NULL;
    Py_ssize_t count = 0, room = 0, chains = 0, at = 0;
    while (PyDict_Next(wires, &at, &member, &wire)) {
        if (!PyList_Check(wire) && !PyTuple_Check(wire)) {
            PyErr_SetString(PyExc_TypeError, "a list or tuple of bytes expected for each member");
            return NULL;
        }
        room += PySequence_Fast_GET_SIZE(wire);
        count++;
    }
    struct target *targets = PyMem_New(struct target, count ? count : 1);
    struct chain *found = PyMem_New(struct chain, count ? count : 1);
    struct iovec *pieces = PyMem_New(struct iovec, room ? room : 1);
    PyObject *rest = NULL;
    if (!targets || !found || !pieces) {
        PyErr_NoMemory();
        goto end;
    }
    struct iovec *next = pieces;
    Py_ssize_t filled = 0;
    at = 0;
    while (PyDict_Next(wires, &at, &member, &wire)) {
        int socket = socket_of(arguments[1], member);
        if (socket == -2)
            goto end;
        if (before && is_same(wire, before)) {
            if (join(&found[chains - 1]) < 0)
                goto end;
        } else {
            if (read_chain(wire, &found[chains], next) < 0)
                goto end;
            next += found[chains++].count;
        }
        before = wire;
        targets[filled++] = (struct target){member, socket, &found[chains - 1], 0};
    }
    /* With the lock released nobody changes the dicts or the chains: the caller has taken them for itself. */
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++)
        if (targets[i].socket >= 0)
            targets[i].taken = send_chain(targets[i].socket, targets[i].chain);
    Py_END_ALLOW_THREADS
    rest = rest_of(targets, count);
end:
    for (Py_ssize_t i = 0; i < chains; i++)
        PyMem_Free(found[i].joined);
    PyMem_Free(pieces);
    PyMem_Free(found);
    PyMem_Free(targets);
    return rest;
}

static PyMethodDef methods[] = {
    {"send_each", (PyCFunction)(void (*)(void))send_each, METH_FASTCALL,
     "send_each(chains, sockets) -> [(member, bytes taken), ...]"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_sending", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sending(void)
{
    return PyModule_Create(&definition);
}
