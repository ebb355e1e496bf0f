/* hand_each of handing.py, compiled: the same outcome without the interpreter between two members. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* It looks at no member, only at its chain: they lie all over the memory. */
static int hand(PyObject *member, PyObject *chain, PyObject *pieces, PyObject *waiting)
{
    if (!PyList_Check(chain)) {
        PyErr_SetString(PyExc_TypeError, "a list expected as each member's chain");
        return -1;
    }
    if (PyList_GET_SIZE(chain) == 0 && PyDict_SetItem(waiting, member, chain) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(pieces); i++)
        if (PyList_Append(chain, PyList_GET_ITEM(pieces, i)) < 0)
            return -1;
    return 0;
}

static PyObject *hand_each(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !PyDict_Check(arguments[0]) || !PyList_Check(arguments[1]) || !PyDict_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "hand_each takes an audience (a dict), pieces (a list), waiting (a dict)");
        return NULL;
    }
    PyObject *member, *chain;
    Py_ssize_t at = 0;
    while (PyDict_Next(arguments[0], &at, &member, &chain))
        if (hand(member, chain, arguments[1], arguments[2]) < 0)
            return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"hand_each", (PyCFunction)(void (*)(void))hand_each, METH_FASTCALL, "hand_each(audience, pieces, waiting)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_handing", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__handing(void)
{
    return PyModule_Create(&definition);
}
